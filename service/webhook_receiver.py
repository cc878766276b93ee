"""One signed message to the webhook's receiver, as Standard Webhooks 1.0 has it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import asyncio
import base64
import hashlib
import hmac
import time

import httpx

from service.webhook_addresses import AddressError, resolve


class NotDeliveredError(Exception):
    """The receiver did not take the message; the text says why."""


class WebhookReceiver:
    """The address from the settings; what is sent to it never goes anywhere else."""

    def __init__(self, url: str, key: bytes, *, allow_private: bool, seconds: float) -> None:
        self._url = httpx.URL(url)
        self._key = key
        self._allow_private = allow_private
        self._seconds = seconds
        # It knows of SSL_CERT_FILE, for receivers with a certificate of their own.
        self._ssl_context = httpx.create_ssl_context()

    async def post(self, message_id: str, payload: str) -> int:
        """Send the message and return the status code, a 2xx.

        Raises NotDeliveredError where the receiver gave no such answer in time.
        """
        headers = {
            "content-type": "application/json",
            "host": self._url.netloc.decode("ascii"),
            "user-agent": "Tenfold",
            **sign(self._key, message_id, int(time.time()), payload),
        }
        try:
            async with asyncio.timeout(self._seconds):
                status_code = await self._post(payload.encode(), headers)
        except AddressError as error:
            raise NotDeliveredError(str(error)) from error
        except TimeoutError as error:
            raise NotDeliveredError(
                f"The webhook's receiver did not answer within {self._seconds:g} s."
            ) from error
        except httpx.HTTPError as error:
            raise NotDeliveredError(
                f"The webhook's receiver could not be reached: {str(error) or repr(error)}."
            ) from error
        _check(status_code)
        return status_code

    async def _post(self, body: bytes, headers: dict[str, str]) -> int:
        host = self._url.raw_host.decode("ascii")
        port = self._url.port or {"http": 80, "https": 443}[self._url.scheme]
        addresses = await resolve(host, port, allow_private=self._allow_private)
        # A proxy of the environment would resolve the name once more.
        async with httpx.AsyncClient(
            verify=self._ssl_context,
            trust_env=False,
            follow_redirects=False,
            # The whole has its deadline in `post`; this leaves time for another address.
            timeout=httpx.Timeout(None, connect=self._seconds / 2),
        ) as client:
            for address in addresses:
                request = client.build_request(
                    "POST",
                    # The address that was checked: the name could mean another by now.
                    self._url.copy_with(host=address),
                    content=body,
                    headers=headers,
                    extensions={"sni_hostname": host},
                )
                try:
                    # The reply's body says nothing that is needed, so it is left unread.
                    response = await client.send(request, stream=True)
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    if address == addresses[-1]:
                        raise
                    continue
                await response.aclose()
                return response.status_code
        raise AssertionError("a host has at least one address")


def sign(key: bytes, message_id: str, timestamp: int, payload: str) -> dict[str, str]:
    """Return the headers that show who sent the payload, and when (seconds since 1970)."""
    content = f"{message_id}.{timestamp}.{payload}".encode()
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode("ascii")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def _check(status_code: int) -> None:
    if httpx.codes.is_redirect(status_code):
        raise NotDeliveredError(
            f"The webhook's receiver answered with a redirect ({status_code}), which is not "
            "followed: set TENFOLD_WEBHOOK_URL to where it leads."
        )
    if not httpx.codes.is_success(status_code):
        raise NotDeliveredError(f"The webhook's receiver answered {status_code}.")
