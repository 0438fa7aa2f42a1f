"""Errors, sorted by who must hear them.

* :class:`UserError`: the person at the page.  Has a stable code and a sentence in both languages.
* :class:`OperatorError`: whoever runs the server.  Printed without a trace, ends the start.
* anything else: us.  The page gets an id, the log gets the trace.
"""

from typing import Any, ClassVar

MESSAGES: dict[str, tuple[str, str]] = {
    "bad_request": ("请求内容有误。", "The request could not be understood."),
    "cross_origin": ("请求来源不被接受。", "Requests from other sites are refused."),
    "csrf": ("页面已过期，请刷新后再试。", "This page is out of date. Please reload it."),
    "code_expired": (
        "验证码已过期，请重新获取。",
        "The code has expired. Please ask for another.",
    ),
    "code_wrong": ("验证码不正确。", "The code is not right."),
    "delivery_failed": (
        "短信暂时无法发送，请稍后再试。",
        "The code could not be sent.",
    ),
    "invitation_expired": (
        "邀请链接已过期，请联系您的客户经理。",
        "This invitation has expired. Please ask for a new one.",
    ),
    "invitation_invalid": (
        "邀请链接无效，请核对链接是否完整。",
        "This invitation link is not valid. Please check that it is complete.",
    ),
    "invitation_used": (
        "邀请链接已使用过，请联系您的客户经理。",
        "This invitation has been used already. Please ask for a new one.",
    ),
    "locked": ("尝试次数过多，请稍后再试。", "Too many attempts. Please wait and try again."),
    "name_invalid": ("请填写姓名。", "Please enter the name."),
    "name_taken": ("该用户名已存在。", "This user name exists already."),
    "not_allowed": ("您没有权限进行此操作。", "You are not allowed to do this."),
    "not_found": ("没有找到。", "Not found."),
    "login_required": ("请先登录。", "Please sign in first."),
    "own_account": ("不能对自己的账号进行此操作。", "You cannot do this to your own account."),
    "password_change_required": (
        "请先修改一次性密码。",
        "Please replace the one-time password first.",
    ),
    "password_same": ("新密码不能与旧密码相同。", "The new password must differ from the old one."),
    "password_weak": (
        "密码至少 12 个字符，且不能过于简单或包含用户名。",
        "The password needs at least 12 characters and must not be simple or contain your name.",
    ),
    "password_wrong": ("当前密码不正确。", "The current password is not right."),
    "phone_invalid": ("请填写有效的手机号码。", "Please enter a valid phone number."),
    "role_unknown": ("没有这个角色。", "There is no such role."),
    "too_large": ("提交的内容过大。", "What was sent is too large."),
    "too_many": ("操作过于频繁，请稍后再试。", "Too many requests. Please wait a moment."),
    "totp_enrolled": (
        "动态口令已启用，如需更换请联系管理员。",
        "A second factor is set up already. An administrator can reset it.",
    ),
    "totp_not_started": (
        "请先开始设置动态口令。",
        "Please start the set-up first.",
    ),
    "totp_required": ("请输入动态口令。", "Please enter the code of your authenticator."),
    "totp_wrong": (
        "动态口令不正确或已使用过。",
        "The authenticator's code is wrong or was used already.",
    ),
    "walk_in_closed": (
        "目前不接受现场取号，请使用邀请链接。",
        "Visits without an invitation are closed at the moment.",
    ),
    "wrong_credentials": ("用户名或密码不正确。", "The user name or password is not right."),
}
"""What each code says, (Chinese, English).  Every code raised anywhere in the product is here."""


class UserError(Exception):
    """A refusal the person at the page is told about.

    ``code`` is stable and listed in :data:`MESSAGES`; ``details`` go into the reply as they are
    and must hold nothing secret.
    """

    status: int = 400

    def __init__(self, code: str, status: int | None = None, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.details = details
        if status is not None:
            self.status = status

    def reply(self) -> dict[str, Any]:
        """The JSON body: ``{"error": {"code", "message_zh", "message_en", …details}}``."""
        zh, en = MESSAGES.get(self.code, MESSAGES["bad_request"])
        error = {"code": self.code, "message_zh": zh, "message_en": en}
        return {"error": {**self.details, **error}}


class NotSignedIn(UserError):
    """Nobody is signed in, or the sign-in was refused."""

    status = 401

    def __init__(self, code: str = "login_required", **details: Any) -> None:
        super().__init__(code, **details)


class NotAllowed(UserError):
    """The role does not have the permission."""

    status = 403

    def __init__(self, code: str = "not_allowed", **details: Any) -> None:
        super().__init__(code, **details)


class NotFound(UserError):
    """There is no such thing, or it is not this person's: the answer is the same."""

    status = 404

    def __init__(self, code: str = "not_found", **details: Any) -> None:
        super().__init__(code, **details)


class Conflict(UserError):
    """The thing is in a state that forbids this."""

    status = 409


class TooMany(UserError):
    """A rate limit; ``retry_after_s`` says when to come back."""

    status = 429

    def __init__(self, retry_after_s: int, code: str = "too_many") -> None:
        super().__init__(code, retry_after_s=retry_after_s)


class OperatorError(Exception):
    """The server cannot run as it was set up; the text says what to change."""

    exit_code: ClassVar[int] = 2
