"""What AWS refused, in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flyball.errors import InputError, Unavailable

ACTIONS = "ec2:DescribeInstanceTypes, ec2:DescribeSpotPriceHistory and pricing:GetProducts"
_SIGN_IN = "aws configure, aws sso login, or set AWS_PROFILE"
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})
_BAD_KEYS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "EC2ThrottledException",
    }
)


@contextmanager
def aws_errors(region: str) -> Iterator[None]:
    """Raises what botocore raises as InputError or Unavailable."""
    from botocore.exceptions import BotoCoreError, ClientError, NoRegionError, ProfileNotFound

    try:
        yield
    except ClientError as error:
        raise _refusal(error, region) from error
    except (NoRegionError, ProfileNotFound) as error:
        raise InputError("the AWS configuration cannot be used", why=str(error), hint=_SIGN_IN) from error
    except BotoCoreError as error:
        if "Credential" in type(error).__name__ or "Token" in type(error).__name__:
            raise InputError("no AWS credentials that work", why=str(error), hint=_SIGN_IN) from error
        raise Unavailable(
            f"AWS does not answer in {region}", why=str(error), hint="check the network and the region's name"
        ) from error


def _refusal(error: Exception, region: str) -> InputError | Unavailable:
    response = getattr(error, "response", {})
    code = response.get("Error", {}).get("Code", "")
    action = getattr(error, "operation_name", "")
    if code in _DENIED:
        return InputError(
            f"AWS does not allow {action} in {region}", why=code, hint=f"a policy that allows {ACTIONS}"
        )
    if code in _BAD_KEYS:
        return InputError("AWS does not accept these credentials", why=code, hint=_SIGN_IN)
    if code in _THROTTLED:
        return Unavailable(
            f"AWS asks to slow down ({action} in {region})", why=code, hint="again in a few minutes"
        )
    return Unavailable(f"AWS refused {action} in {region}", why=str(error), hint="again later")
