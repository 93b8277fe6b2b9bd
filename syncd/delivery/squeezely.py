"""Squeezely's API: one POST, a response or none.

Requests are made with verified TLS, without following redirects, and within a total
deadline. From the first byte of a request on, whatever ends it may have been taken,
and no exception comes out of it.
What the response means is decided in `core.response`.
"""

import ssl
import time
from http import HTTPStatus

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from syncd import __version__
from syncd.config.settings import Settings
from syncd.core.errors import ConfigError
from syncd.core.progress import STEP_SECONDS, report_progress
from syncd.core.response import NoResponse, Response
from syncd.delivery.transport import ExchangeDeadline, Transport, exchange

MAX_ANSWER_BYTES = 256 * 1024

IDLE_SECONDS = 30.0


class Squeezely:
    """A connection to the account; not for use by two threads at once.

    Attributes:
        request: What is sent, but for the body.
        idle_seconds: A gateway may have erased a connection that was idle for longer.
    """

    def __init__(self, settings: Settings) -> None:
        self.idle_seconds = IDLE_SECONDS
        squeezely = settings.squeezely
        self._endpoint = squeezely.endpoint
        self._timeout = squeezely.timeout.total_seconds()
        self._used_at = float("-inf")
        self._transport = Transport()
        self._deadline: ExchangeDeadline | None = None
        self._verify = str(squeezely.ca_file) if squeezely.ca_file else True
        self._proxies = requests.utils.get_environ_proxies(self._endpoint)
        headers = _headers(settings)
        self.request = requests.Request("POST", self._endpoint, headers).prepare()

    @property
    def has_begun(self) -> bool:
        """Whether a byte of the last request was written."""
        return self._deadline is not None and self._deadline.has_begun

    def post(self, body: bytes) -> Response | NoResponse:
        """POST a body; return what came back within the timeout, of it all."""
        self._deadline = None
        if time.monotonic() - self._used_at > self.idle_seconds:
            self.close()
        report_progress(self._timeout + STEP_SECONDS)
        with exchange(self._timeout) as deadline:
            self._deadline = deadline
            answer = self._exchange(body, deadline)
        self._used_at = time.monotonic()
        return answer

    def _exchange(
        self, body: bytes, deadline: ExchangeDeadline
    ) -> Response | NoResponse:
        # The transport itself: a session would read the environment at each request,
        # add what ~/.netrc has, and follow redirects.
        self.request.prepare_body(body, None)
        try:
            with self._transport.send(
                self.request,
                timeout=self._timeout,
                verify=self._verify,
                proxies=self._proxies,
                stream=True,
            ) as response:
                answer = _read(response, deadline)
        except Exception as error:
            if deadline.has_begun:
                return NoResponse(_what_failed(error, deadline), taken=True)
            if refused := _certificate_fault(error):
                return NoResponse(refused, taken=False, untrusted=True)
            if isinstance(error, ValueError):
                raise _unusable(error) from error
            if isinstance(error, requests.RequestException | HTTPError | OSError):
                return NoResponse(_what_failed(error, deadline), taken=False)
            raise
        if deadline.is_sent or not _is_success(answer):
            return answer
        return NoResponse("a success before the whole request was sent", taken=True)

    def close(self) -> None:
        """Close the connections that are kept alive."""
        self._transport.close()


def proxy_of(endpoint: str) -> str | None:
    """Return which proxy the environment names for the endpoint; None for none."""
    proxies = requests.utils.get_environ_proxies(endpoint)
    return requests.utils.select_proxy(endpoint, proxies)


def authorities(settings: Settings) -> str:
    """Name the file with those whose certificates are trusted."""
    return str(settings.squeezely.ca_file or requests.utils.DEFAULT_CA_BUNDLE_PATH)


def _is_success(answer: Response | NoResponse) -> bool:
    return isinstance(answer, Response) and answer.status < HTTPStatus.MULTIPLE_CHOICES


def _read(
    response: requests.Response, deadline: ExchangeDeadline
) -> Response | NoResponse:
    """Read the body, bounded in bytes."""
    body = bytearray()
    # requests' own reading waits for a whole piece, however slowly it drips
    while piece := response.raw.read1(8192, decode_content=True):
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            return NoResponse("the answer is too long", taken=True)
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(
        response.status_code, headers, bytes(body), request_was_sent=deadline.is_sent
    )


def _unusable(error: Exception) -> ConfigError:
    """Name what the library refuses to send; its text may hold a secret."""
    return ConfigError(
        f"the request to the API cannot be made ({type(error).__name__})",
        "Mend squeezely.endpoint, squeezely.account, the API key, or HTTPS_PROXY.",
    )


def _certificate_fault(error: BaseException) -> str | None:
    """Return why the endpoint's certificate was refused; None: it was not.

    The library wraps the reason as a cause, a context, an argument or an attribute, by
    the way that it took: straight or through a proxy.
    """
    waiting, seen = [error], set[int]()
    while waiting:
        fault = waiting.pop()
        if isinstance(fault, ssl.SSLCertVerificationError):
            why = fault.verify_message.rstrip(".")
            return f"TLS: the endpoint's certificate is not trusted: {why}"
        if id(fault) in seen:
            continue
        seen.add(id(fault))
        inner = (fault.__cause__, fault.__context__, getattr(fault, "reason", None))
        waiting += [e for e in (*inner, *fault.args) if isinstance(e, BaseException)]
    return None


_UNREACHED: tuple[tuple[type[Exception], str], ...] = (
    (NameResolutionError, "the endpoint's host name is not known"),
    (NewConnectionError, "the connection was refused"),
    (ConnectTimeoutError, "no connection in time"),
    (requests.exceptions.SSLError, "TLS: no handshake with the endpoint"),
    (requests.exceptions.ProxyError, "the proxy refused the connection"),
)


def _what_failed(error: Exception, deadline: ExchangeDeadline) -> str:
    """Return what failed without the exception's text, which may hold the URL."""
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    for kind, text in _UNREACHED:
        if isinstance(reason, kind) or isinstance(error, kind):
            return text
    is_late = isinstance(error, requests.Timeout | ReadTimeoutError | TimeoutError)
    if is_late or deadline.is_over:
        return "no answer in time" if deadline.is_sent else "not sent in time"
    if not isinstance(error, requests.RequestException | HTTPError | OSError):
        return f"what came could not be read ({type(error).__name__})"
    if not deadline.is_sent:
        return "the connection broke before the whole request was sent"
    return "the connection broke before the whole answer came"


def _headers(settings: Settings) -> dict[str, str]:
    return {
        "X-AUTH-ACCOUNT": settings.squeezely.account,
        "X-AUTH-APIKEY": settings.api_key.get_secret_value(),
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "keep-alive",
        "User-Agent": f"syncd/{__version__}",
    }
