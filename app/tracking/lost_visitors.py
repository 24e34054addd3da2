"""What a visitor sees where there is no link to follow: the brand's own address where its host has one, else a small page in English or French."""

from app.domain.host_pages import LANGUAGES, HostPages, Language, Occasion, choose_language
from app.tracking.responses import NO_STORE, NOINDEX, Answer, page

_TEXTS: dict[Language, dict[Occasion, tuple[int, str, str]]] = {
    "en": {
        "unknown": (404, "This link does not exist", "Please check that it is spelled exactly as you received it."),
        "expired": (410, "This link is no longer active", "The offer it led to is over."),
    },
    "fr": {
        "unknown": (404, "Ce lien n’existe pas", "Vérifiez qu’il est écrit exactement comme vous l’avez reçu."),
        "expired": (410, "Ce lien n’est plus actif", "L’offre à laquelle il menait est terminée."),
    },
}
for _texts in _TEXTS.values():
    _texts["root"] = _texts["unknown"]

_WAIT: dict[Language, tuple[str, str]] = {
    "en": ("One moment, please", "This link cannot be looked up right now. Please try again in a few seconds."),
    "fr": (
        "Un instant, s’il vous plaît",
        "Ce lien ne peut pas être ouvert pour le moment. Réessayez dans quelques secondes.",
    ),
}

_PAGES = {
    (language, occasion): page(status, title, text, language=language)
    for language, texts in _TEXTS.items()
    for occasion, (status, title, text) in texts.items()
}
_WAITING = {language: page(503, *_WAIT[language], (b"retry-after", b"1"), language=language) for language in LANGUAGES}


def answer_lost(occasion: Occasion, pages: HostPages | None, headers: dict[bytes, bytes]) -> Answer:
    """The answer to a visitor for whom there is no link. pages: of the brand's own host, None on the shared one. headers: of the request."""
    url = pages.url(occasion) if pages is not None else ""
    if url:
        return Answer(302, headers=[(b"location", url.encode()), NO_STORE, NOINDEX])
    language = pages.language if pages is not None else ""
    return _PAGES[language or _language(headers), occasion]


def try_again(headers: dict[bytes, bytes]) -> Answer:
    """The answer while it cannot be told whether there is a link."""
    return _WAITING[_language(headers)]


def _language(headers: dict[bytes, bytes]) -> Language:
    return choose_language(headers.get(b"accept-language", b"").decode("latin-1"))
