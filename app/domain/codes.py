"""Promo codes as shoppers type them: what is one code, and what is another."""

import unicodedata

_LOOK_ALIKES = str.maketrans({"O": "0", "I": "1", "L": "1"})


def normalise(code: str) -> str:
    """The form in which codes are compared: compatibility characters, case, accents, spaces, dashes and look-alikes folded. '' for none of these.

    « léa-10 » and `LEA10` are one code; so are `LEAIO` and `LEA10`, which people cannot tell apart on a screen.
    """
    decomposed = unicodedata.normalize("NFKD", code).upper()
    return "".join(character for character in decomposed if character.isalnum()).translate(_LOOK_ALIKES)
