"""The store on S3 or a server that speaks it, with boto3's own configuration: endpoint, region, profile, credentials.

Workers need no right to delete: a damaged object is copied aside and emptied, and an empty object counts as absent.
Nothing here depends on conditional puts being honoured; where they are, the first writer wins as it does in a folder.
"""

import base64
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from aman.errors import DataError, UsageError, UserError
from cluster.store.names import ASIDE

ATTEMPTS = 10
"""How often a request is made anew, with growing pauses: a server that restarts is back within them."""
LONGEST_PAUSE = 10.0
"""Seconds."""
OPTIONS = {"sse": "ServerSideEncryption", "kms-key": "SSEKMSKeyId"}
"""What may follow the name in a URI, `s3://bucket/folder?sse=aws:kms&kms-key=alias/aman`: encryption on the server."""
ABSENT = ("404", "NoSuchKey", "NotFound")
EXISTS = ("412", "PreconditionFailed")
AGAIN = ("409", "ConditionalRequestConflict", "OperationAborted")
SHA256, WRITER = "sha256", "writer"
"""Metadata of an object: digest of its bytes, and who wrote it, so that a put whose answer was lost is known."""


class S3Store:
    """Objects under a prefix of a bucket. Holds no credential and no connection: each process builds its own."""

    def __init__(self, uri: str, option: str = "--store") -> None:
        parts = urlsplit(uri)
        options = dict(parse_qsl(parts.query))
        unknown = sorted(options.keys() - OPTIONS.keys())
        if not parts.netloc or unknown or parts.username or parts.password:
            raise UsageError(
                got=f"{option} s3://{parts.hostname or ''}... with {'option ' + unknown[0] if unknown else 'no bucket'}"
                if not parts.username
                else f"{option} with a credential in it",
                expected="s3://bucket/folder, with ?sse=AES256 or ?sse=aws:kms&kms-key=ID where wanted",
                fix="credentials come from boto3's own places (environment, profile, instance)",
            )
        self.uri, self.option, self.bucket = uri, option, parts.netloc
        self.prefix = f"{parts.path.strip('/')}/" if parts.path.strip("/") else ""
        self.encryption: dict[str, Any] = {OPTIONS[name]: value for name, value in options.items()}

    def __reduce__(self) -> tuple:
        return type(self), (self.uri, self.option)

    def get(self, name: str) -> bytes | None:
        def sound(content: bytes, answer: Mapping[str, Any]) -> bool:
            wanted = answer.get("Metadata", {}).get(SHA256)
            return not content or wanted in (None, hashlib.sha256(content).hexdigest())

        found = self.read(name, sound)
        return found[0] or None if found else None

    def read(self, name: str, sound: Callable[[bytes, Mapping[str, Any]], bool]) -> tuple[bytes, str] | None:
        """Content and ETag of an object, or None where there is none.

        Asked for again until `sound(content, answer)`: damaged on its way, or for good, as the reader then finds out.
        """
        found = None
        for attempt in range(ATTEMPTS):
            answer = self._ask("get_object", Key=self.prefix + name, none_for=ABSENT)
            if answer is None:
                return None
            with suppress(Exception):  # a body cut off on its way: the client does not ask again by itself
                found = answer["Body"].read(), str(answer["ETag"])
            if found and sound(found[0], answer):
                return found
            _pause(attempt)
        if found is None:
            raise self._error("500, a body that was cut off")
        return found

    def put(self, name: str, content: bytes) -> bool:
        assert content, "an empty object counts as absent"
        writer = secrets.token_hex(8)
        body = self._body(name, content, {WRITER: writer})
        condition: dict[str, Any] = {"IfNoneMatch": "*"}
        for attempt in range(ATTEMPTS):
            if self._ask("put_object", **body, **condition, none_for=(*EXISTS, *AGAIN)):
                return True
            there = self._head(name)
            if there and there.get("Metadata", {}).get(WRITER) == writer:
                return True  # our own, whose answer was lost
            if there and there["ContentLength"]:
                return False
            condition = {"IfMatch": there["ETag"]} if there else {"IfNoneMatch": "*"}
            _pause(attempt)
        return False

    def replace(self, name: str, content: bytes) -> None:
        self._ask("put_object", **self._body(name, content, {}))

    def _body(self, name: str, content: bytes, metadata: Mapping[str, str]) -> dict[str, Any]:
        digest = hashlib.sha256(content)
        return {
            "Key": self.prefix + name,
            "Body": content,
            "Metadata": {SHA256: digest.hexdigest(), **metadata},
            "ChecksumSHA256": base64.b64encode(digest.digest()).decode(),
            **self.encryption,
        }

    def size(self, name: str) -> int | None:
        there = self._head(name)
        return there["ContentLength"] or None if there else None

    def names(self, prefix: str) -> Iterator[str]:
        for one in self._list(prefix):
            if one["Size"]:
                yield one["Key"][len(self.prefix) :]

    def set_aside(self, name: str) -> None:
        key = self.prefix + name
        target = f"{self.prefix}{ASIDE}/{name.replace('/', '-')}-{secrets.token_hex(4)}"
        source = {"Bucket": self.bucket, "Key": key}
        there = self._head(name)
        if there and there["ContentLength"]:
            self._ask("copy_object", CopySource=source, Key=target, **self.encryption, none_for=ABSENT)
            # Only if it is still the damaged one: another process may have made it anew by now.
            changed = (*ABSENT, *EXISTS, *AGAIN)
            self._ask("put_object", Key=key, Body=b"", IfMatch=there["ETag"], none_for=changed)

    def objects(self) -> Iterator[tuple[str, int, str]]:
        """Name, bytes and ETag of all objects, empty ones too."""
        for one in self._list(""):
            yield one["Key"][len(self.prefix) :], one["Size"], one["ETag"]

    def ages(self, prefix: str) -> Iterator[tuple[str, float, int]]:
        now = time.time()
        for one in self._list(prefix):
            yield one["Key"][len(self.prefix) :], now - one["LastModified"].timestamp(), one["Size"]

    def delete(self, name: str) -> None:
        self._ask("delete_object", Key=self.prefix + name, none_for=ABSENT)

    def check_writable(self) -> None:
        self._ask("put_object", Key=f"{self.prefix}probe", Body=b"probe", **self.encryption, attempts=3)

    def _head(self, name: str) -> dict[str, Any] | None:
        return self._ask("head_object", Key=self.prefix + name, none_for=ABSENT)

    def _list(self, prefix: str) -> Iterator[dict[str, Any]]:
        token: dict[str, Any] = {}
        while True:
            page = self._ask("list_objects_v2", Prefix=self.prefix + prefix, **token)
            yield from page.get("Contents", ())
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _ask(self, verb: str, *, attempts: int = ATTEMPTS, none_for: Sequence[str] = (), **request: Any) -> Any:
        """The answer to a request, which is made again while the server is away; None for an error named in `none_for`.

        The loop is written out: botocore's own retries leave out 409, and give up early where many requests fail.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        for attempt in range(attempts):
            try:
                return getattr(_client(os.getpid()), verb)(Bucket=self.bucket, **request)
            except (ClientError, BotoCoreError) as error:
                why, passing = _meaning(error)
                if why in none_for:
                    return None
                if not passing or attempt == attempts - 1:
                    raise self._error(why) from None
            _pause(attempt)
        raise AssertionError("unreachable")

    def _error(self, why: str) -> UserError:
        """What a refusal means to a user. Its text is the error's name alone: messages may hold what was signed."""
        if why in ("SlowDown", "RequestTimeout", "InsufficientStorage") or why.startswith("5"):
            return DataError(
                got=f"{self.option} s3://{self.bucket}, which answered {why} {ATTEMPTS} times over",
                expected="a server with room and time",
                fix="wait and run the same command: what is finished stays",
            )
        return UsageError(
            got=f"{self.option} s3://{self.bucket}/{self.prefix}, which cannot be used ({why})",
            expected="a bucket that exists, an endpoint that answers, and the right to get, put and list",
            fix="check AWS_ENDPOINT_URL, AWS_PROFILE or the credentials, and the bucket's policy",
        )


def _meaning(error: Exception) -> tuple[str, bool]:
    """The name of an error of the client, and whether the next attempt may succeed."""
    from botocore.exceptions import ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as NoConnectionError

    if not isinstance(error, ClientError):
        return type(error).__name__, isinstance(error, HTTPClientError | NoConnectionError)
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return code or str(status), status >= 500 or code in ("SlowDown", "RequestTimeout", *AGAIN)


@lru_cache(maxsize=2)
def _client(process: int) -> Any:
    """A client of this process; one that was forked builds its own."""
    del process
    return client()


def client(environment: Mapping[str, str] | None = None) -> Any:
    """A boto3 client: from boto3's own configuration, or of the server and credentials in these variables."""
    import boto3
    from botocore.config import Config

    given = environment or {}
    return boto3.session.Session().client(  # the default session would keep what it once read
        "s3",
        endpoint_url=given.get("AWS_ENDPOINT_URL"),
        region_name=given.get("AWS_DEFAULT_REGION"),
        aws_access_key_id=given.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=given.get("AWS_SECRET_ACCESS_KEY"),
        config=Config(
            retries={"total_max_attempts": 2, "mode": "standard"},
            connect_timeout=5,
            read_timeout=60,
            request_checksum_calculation="when_required",  # some servers refuse its trailers; we send a SHA256
            response_checksum_validation="when_required",
        ),
    )


def _pause(attempt: int) -> None:
    time.sleep(min(0.1 * 2**attempt, LONGEST_PAUSE) * (0.5 + secrets.randbelow(1000) / 1000))
