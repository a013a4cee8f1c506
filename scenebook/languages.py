"""Languages: codes as people and speech models give them, as Postgres text search knows them."""

from __future__ import annotations

from collections.abc import Mapping

from scenebook.errors import InvalidInput

# Words are matched as they are written where a language has no stems in Postgres.
PLAIN = "simple"

# ISO 639-1 to the text search configuration; every server from Postgres 15 on has these.
CONFIGURATIONS: Mapping[str, str] = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek",
    "en": "english", "es": "spanish", "eu": "basque", "fi": "finnish", "fr": "french",
    "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian",
    "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian",
    "nb": "norwegian", "nn": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian",
    "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
# The rest of ISO 639-1.
OTHERS = (
    "aa ab ae af ak am an as av ay az ba be bg bh bi bm bn bo br bs ce ch co cr cs cu cv cy dv dz"
    " ee eo et fa ff fj fo fy gd gl gn gu gv ha he ho hr ht hz ia ie ig ii ik io is iu ja jv ka kg"
    " ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lu lv mg mh mi mk ml mn mr ms mt my"
    " na nd ng nr nv ny oc oj om or os pa pi pl ps qu rm rn rw sa sc sd se sg si sk sl sm sn so sq"
    " ss st su sw te tg th ti tk tl tn to ts tt tw ty ug uk ur uz ve vi vo wa wo xh yo za zh zu"
)
# Back again; nb and nn are ways of writing no.
CODES: Mapping[str, str] = {
    name: code for code, name in CONFIGURATIONS.items() if code not in ("nb", "nn")
}


def configuration_of(code: str) -> str:
    """The text search configuration of a language; `simple` for one without stems in Postgres.

    code: ISO 639-1, in any case, perhaps with a region, as `de` or `pt-BR`. Raises InvalidInput.
    """
    primary = code.strip().replace("_", "-").partition("-")[0].lower()
    if primary in CONFIGURATIONS:
        return CONFIGURATIONS[primary]
    if primary in OTHERS.split():
        return PLAIN
    raise InvalidInput(
        f"{code[:40]!r} is no language. Give its ISO 639-1 code, as en or de, or leave it out.",
        code="unknown_language",
    )


def configuration_heard(name: str | None) -> str | None:
    """What a speech model or a subtitle file calls the language: a code or an English name.

    None if nothing is said, or nothing that is known: the words are then matched as they are.
    """
    if not name:
        return None
    if name.strip().lower() in CODES:
        return name.strip().lower()
    try:
        return configuration_of(name)
    except InvalidInput:
        return None


def code_of(configuration: str | None) -> str | None:
    """The ISO 639-1 code of a configuration, to tell a speech model; None for `simple`."""
    return None if configuration is None else CODES.get(configuration)
