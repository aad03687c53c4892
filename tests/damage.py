"""Random damage to files, another for each number."""

import random


def damaged(content: bytes, number: int) -> bytes:
    """Return the content cut off, with a bit flipped, with a part zeroed, or two parts swapped."""
    draw = random.Random(number)
    first, second = sorted(draw.randrange(len(content)) for _ in range(2))
    length = min(draw.randint(1, 512), second - first, len(content) - second)
    changed = bytearray(content)
    match number % 4:
        case 0:
            del changed[first:]
        case 1:
            changed[first] ^= 1 << draw.randrange(8)
        case 2:
            changed[first : first + length] = bytes(length)
        case 3:
            changed[first : first + length] = content[second : second + length]
            changed[second : second + length] = content[first : first + length]
    return bytes(changed)
