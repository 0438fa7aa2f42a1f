"""Errors, sorted by who must hear them.

* :class:`UserError`: the person at the page.  Has a stable code and a sentence in both languages.
* :class:`OperatorError`: whoever runs the server.  Printed without a trace, ends the start.
* anything else: us.  The page gets an id, the log gets the trace.
"""

from typing import Any, ClassVar

MESSAGES: dict[str, tuple[str, str]] = {
    "already_decided": ("本次业务已作出决定。", "This session has been decided already."),
    "approval_needed": (
        "回放须经第二人批准，请先提出申请。",
        "A second person has to approve this replay. Please ask for it first.",
    ),
    "approval_not_needed": (
        "本行无需第二人批准即可回放。",
        "No second person's approval is needed here.",
    ),
    "approval_over": (
        "该申请已处理或已过期。",
        "This request has been decided already, or has expired.",
    ),
    "approval_own": (
        "不能批准自己提出的申请，请由另一位同事处理。",
        "Nobody decides their own request. Please leave it to a colleague.",
    ),
    "bad_request": ("请求内容有误。", "The request could not be understood."),
    "already_rated": ("您已评价过。", "You have rated this already."),
    "already_here": (
        "对方已在本次通话中或已收到邀请。",
        "This person is in the call already, or has been invited.",
    ),
    "call_not_up": ("通话尚未接通。", "The call is not up."),
    "code_expired": ("验证码已过期，请重新获取。", "The code has expired. Please ask for another."),
    "code_wrong": ("验证码不正确。", "The code is not right."),
    "colleague_busy": ("该同事正忙或未打开工作台。", "This colleague is busy or has no page open."),
    "confirm_own": (
        "不能复核自己的核对，请由另一位同事处理。",
        "Nobody confirms their own look. Please ask a colleague.",
    ),
    "consent_outdated": (
        "授权内容已更新，请重新阅读并确认。",
        "The consent text has changed. Please read it again.",
    ),
    "cross_origin": ("请求来源不被接受。", "Requests from other sites are refused."),
    "csrf": ("页面已过期，请刷新后再试。", "This page is out of date. Please reload it."),
    "customer_at_desk": (
        "请先结束当前客户的服务。",
        "Please finish with the present customer first.",
    ),
    "decision_missing": ("请先作出业务决定。", "Please decide first."),
    "delivery_failed": ("短信暂时无法发送，请稍后再试。", "The code could not be sent."),
    "held_already": ("该业务已在法定保全中。", "This session is under legal hold already."),
    "export_erased": (
        "录像已被清除，无法导出。",
        "The recording has been erased: there is nothing left to export.",
    ),
    "export_gone": (
        "导出文件已删除或尚未完成，请重新导出。",
        "The exported file is not there (any more). Please export again.",
    ),
    "export_not_sealed": (
        "录像尚未封存，请在通话结束后再导出。",
        "The recording is not sealed yet. Please export it after the call.",
    ),
    "exports_full": (
        "当前导出任务已满，请稍后再试。",
        "Too many exports are waiting. Please try again in a few minutes.",
    ),
    "internal": (
        "系统出现问题，请稍后再试。",
        "Something went wrong on our side. Please try again.",
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
    "key_in_use": (
        "该密钥仍保护着录像，不能销毁。",
        "This key still protects recordings and cannot be destroyed.",
    ),
    "legal_hold": (
        "该业务处于法定保全中，不能删除；请先解除保全。",
        "This session is under legal hold and cannot be erased. Lift the hold first.",
    ),
    "line_full": (
        "当前排队人数已满，请稍后再来。",
        "The waiting line is full. Please come back later.",
    ),
    "locked": ("尝试次数过多，请稍后再试。", "Too many attempts. Please wait and try again."),
    "login_required": ("请先登录。", "Please sign in first."),
    "name_invalid": ("请填写姓名。", "Please enter the name."),
    "name_taken": ("该用户名已存在。", "This user name exists already."),
    "no_picture": (
        "暂时没有客户画面，请稍后再试。",
        "There is no picture of the customer just now. Please try again.",
    ),
    "nobody_ready": (
        "目前没有空闲的同事可以接手。",
        "No colleague is ready to take over at the moment.",
    ),
    "not_allowed": ("您没有权限进行此操作。", "You are not allowed to do this."),
    "not_found": ("没有找到。", "Not found."),
    "not_given": (
        "您未作出该项授权，或已撤回。",
        "This consent was not given, or is withdrawn already.",
    ),
    "not_now": (
        "当前状态下不能进行此操作，请刷新查看。",
        "This is not possible at this point. Please look again.",
    ),
    "not_yet_due": (
        "保存期限未满，不能删除。",
        "It has to be kept for longer, so it cannot be erased yet.",
    ),
    "nothing_to_confirm": (
        "没有待确认的人工核对。",
        "Nothing waits for a second look.",
    ),
    "number_differs": (
        "输入的编号不一致，未删除任何内容。",
        "The number typed is not the session's. Nothing was erased.",
    ),
    "offer_gone": (
        "该客户已由其他柜员接待或已离开。",
        "Somebody else was quicker, or the customer has left.",
    ),
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
    "policy_not_met": (
        "尚有检查未通过，不能批准；可以拒绝或转人工复核。",
        "Not all checks passed: this can be refused or referred, not approved.",
    ),
    "recording_erased": (
        "录像已按规定永久删除，只保留删除证明。",
        "This recording was erased for good; a certificate of it is kept.",
    ),
    "recording_failed": (
        "录像出现故障，无法继续办理。",
        "The recording has failed, so we cannot go on.",
    ),
    "recording_needed": (
        "视频办理必须录像；如不同意，请前往网点办理。",
        "Video sessions are recorded. Without that, please visit a branch.",
    ),
    "recording_unavailable": (
        "录像暂时无法播放。",
        "The recording cannot be played at the moment.",
    ),
    "role_unknown": ("没有这个角色。", "There is no such role."),
    "room_full": ("通话人数已满。", "The call is full."),
    "stars_expected": ("请选择一到五颗星。", "Please choose one to five stars."),
    "supervised_already": (
        "已有其他主管在监督此通话。",
        "Another supervisor is with this call already.",
    ),
    "supervision_off": ("本行未开启通话监督。", "Calls are not supervised at this bank."),
    "teller_cannot_leave": (
        "您负责本次通话，请先转接或结束。",
        "This call is yours: transfer or end it instead.",
    ),
    "text_expected": ("请填写文字内容。", "Please enter a text."),
    "text_length": ("文字过短或过长。", "The text is too short or too long."),
    "too_large": ("提交的内容过大。", "What was sent is too large."),
    "too_many": ("操作过于频繁，请稍后再试。", "Too many requests. Please wait a moment."),
    "totp_enrolled": (
        "动态口令已启用，如需更换请联系管理员。",
        "A second factor is set up already. An administrator can reset it.",
    ),
    "totp_not_started": ("请先开始设置动态口令。", "Please start the set-up first."),
    "totp_required": ("请输入动态口令。", "Please enter the code of your authenticator."),
    "totp_wrong": (
        "动态口令不正确或已使用过。",
        "The authenticator's code is wrong or was used already.",
    ),
    "transfer_rings": (
        "正在转接中，请等待或先取消。",
        "A transfer is ringing already. Wait, or cancel it first.",
    ),
    "tries_used_up": (
        "该项检查已多次未通过，请改由人工核对。",
        "This check has failed too often. A person has to compare by eye now.",
    ),
    "unknown_approval": ("没有这项申请。", "There is no such request."),
    "unknown_business": ("没有这项业务。", "There is no such business."),
    "unknown_certificate": ("没有这份删除证明。", "There is no such certificate."),
    "unknown_check": ("没有这项检查。", "There is no such check."),
    "unknown_colleague": (
        "没有这位可参与的同事。",
        "There is no such colleague who could take part.",
    ),
    "unknown_decision": ("没有这种决定。", "There is no such decision."),
    "unknown_export": ("没有这项导出。", "There is no such export."),
    "unknown_field": ("没有这个字段。", "There is no such field."),
    "unknown_finding": ("没有这项检查结果。", "There is no such finding."),
    "unknown_hold": (
        "没有这项保全，或已解除。",
        "There is no such hold, or it was lifted already.",
    ),
    "unknown_language": ("不支持该语言。", "This language is not supported."),
    "unknown_mode": ("没有这种监督方式。", "There is no such way to supervise."),
    "unknown_participant": ("通话中没有此人。", "There is no such person in the call."),
    "unknown_picture": ("没有这张图片。", "There is no such picture."),
    "unknown_session": ("没有找到该业务办理记录。", "There is no such session."),
    "unknown_state": ("没有这种状态。", "There is no such state."),
    "unknown_stream": ("没有这段录像。", "There is no such recording."),
    "unknown_subject": (
        "没有这项可撤回的授权。",
        "There is no such consent to withdraw.",
    ),
    "unknown_verdict": (
        "没有这种结论。",
        "There is no such verdict.",
    ),
    "viewing_running_only": (
        "仅可回看正在进行的通话；已结束的业务由复核人员调阅。",
        "You can replay a call only while it goes on. Afterwards reviewers can.",
    ),
    "viewing_over": ("本次调阅已到期，请重新申请。", "This viewing is over. Please open it again."),
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
