"""Every table of the product, in one place.

Times are UTC microseconds since the epoch (BigInteger): both databases order and compare them
alike, and no driver turns them into local time.  Identifiers are 26-character ULIDs or 22-character
random tokens made by :func:`video_bank.storage.new_id`.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

staff = Table(
    "staff",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("display_name", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("password_hash", String(256), nullable=False),
    Column("password_one_time", Boolean, nullable=False, default=False),
    Column("totp_secret", LargeBinary),  # encrypted with the server's key
    Column("totp_last_step", BigInteger),  # a code is used once
    Column("failures", Integer, nullable=False, default=0),
    Column("locked_until", BigInteger),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("skills", JSON, nullable=False, default=list),
    Column("created_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger),
)

customers = Table(
    "customers",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", LargeBinary, nullable=False),  # encrypted
    Column("phone", LargeBinary),  # encrypted
    Column("phone_key", String(64), index=True),  # keyed hash, to find the same person again
    Column("id_number", LargeBinary),  # encrypted; set after a checked card
    Column("id_number_key", String(64), index=True),
    Column("created_at", BigInteger, nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("customer_id", ForeignKey("customers.id"), nullable=False),
    Column("business", String(64)),
    Column("session_id", ForeignKey("sessions.id"), index=True),  # a guest's: good while it lasts
    Column("created_by", ForeignKey("staff.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
)

codes = Table(
    "codes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("code_hash", String(64), nullable=False),
    Column("name", LargeBinary, nullable=False),  # encrypted
    Column("phone", LargeBinary, nullable=False),  # encrypted
    Column("tries", Integer, nullable=False, default=0),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
)

logins = Table(
    "logins",
    metadata,
    Column("id", String(64), primary_key=True),  # hash of the cookie's value
    Column("kind", String(16), nullable=False),  # staff | customer
    Column("subject_id", String(32), nullable=False, index=True),
    Column("csrf", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("customer_id", ForeignKey("customers.id"), nullable=False, index=True),
    Column("teller_id", ForeignKey("staff.id"), index=True),
    Column("business", String(64), nullable=False),
    Column("language", String(8), nullable=False),
    Column("priority", Integer, nullable=False, default=0),
    Column("state", String(16), nullable=False, index=True),
    Column("consent_face", Boolean, nullable=False),
    Column("consent_version", String(32), nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
    Column("queued_at", BigInteger, nullable=False),
    Column("offered_at", BigInteger),
    Column("accepted_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("closed_at", BigInteger),
    Column("end_reason", String(64)),
    Column("passed_over", JSON, nullable=False, default=list),  # tellers who let it ring out
    Column("on_hold", Boolean, nullable=False, default=False),
    Column("transfer_to", ForeignKey("staff.id")),  # at whose desk it rings now
    Column("transfer_at", BigInteger),
    Column("transfer_note", LargeBinary),  # encrypted
    Column("decision", String(16)),
    Column("decision_reason", LargeBinary),  # encrypted
    Column("decided_at", BigInteger),
    Column("notes", LargeBinary),  # encrypted
    Column("rating", Integer),
    Column("rating_comment", LargeBinary),  # encrypted
    Column("seal", String(32)),  # ok | closed by recovery | incomplete | tampered
)

participants = Table(
    "participants",
    metadata,
    Column("session_id", ForeignKey("sessions.id"), primary_key=True),
    Column("person_id", String(32), primary_key=True, index=True),
    Column("kind", String(16), nullable=False),  # staff | customer
    Column("role", String(16), nullable=False),  # in this session
    Column("presence", String(16), nullable=False),  # joined | listening | whispering
    Column("invited_by", ForeignKey("staff.id")),
    Column("invited_at", BigInteger),
    Column("joined_at", BigInteger),
    Column("left_at", BigInteger),
)

quality = Table(
    "quality",
    metadata,
    Column("session_id", ForeignKey("sessions.id"), primary_key=True),
    Column("person_id", String(32), primary_key=True),
    Column("t_s", Integer, primary_key=True, autoincrement=False),  # media time
    Column("level", Integer, nullable=False),
    Column("kbps", Float, nullable=False),
    Column("loss", Float, nullable=False),
    Column("rtt_ms", Float),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("fps", Float, nullable=False),
    Column("frozen_s", Float, nullable=False),
    Column("sound", Float),
)

consents = Table(
    "consents",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("session_id", ForeignKey("sessions.id"), index=True),  # none: withdrawn between visits
    Column("customer_id", ForeignKey("customers.id"), nullable=False, index=True),
    Column("subject", String(32), nullable=False),  # recording | face | face_kept
    Column("granted", Boolean, nullable=False),
    Column("withdrawn", Boolean, nullable=False, server_default=false()),
    Column("version", String(32), nullable=False),
    Column("text_hash", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
)

findings = Table(
    "findings",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("session_id", ForeignKey("sessions.id"), nullable=False),
    Column("check", String(32), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("score", Float),
    Column("threshold", Float),
    Column("values", LargeBinary, nullable=False),  # encrypted JSON
    Column("pictures", JSON, nullable=False),  # [{name, blob, media_time_us}]
    Column("models", JSON, nullable=False),
    Column("policy", String(64)),  # hash of the product's policy that judged it
    Column("media_time_us", BigInteger),
    Column("at", BigInteger, nullable=False),
    UniqueConstraint("session_id", "check", "attempt"),
)

faces = Table(
    "faces",
    metadata,
    Column("customer_id", ForeignKey("customers.id"), primary_key=True),
    Column("template", LargeBinary, nullable=False),  # encrypted with the person's own key
    Column("model", String(64), nullable=False),  # SHA-256 of the model that described it
    Column("session_id", ForeignKey("sessions.id"), nullable=False),
    Column("at", BigInteger, nullable=False),
)

corrections = Table(
    "corrections",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("finding_id", ForeignKey("findings.id"), nullable=False, index=True),
    Column("field", String(32), nullable=False),
    Column("value", LargeBinary, nullable=False),  # encrypted
    Column("reason", LargeBinary, nullable=False),  # encrypted
    Column("by", ForeignKey("staff.id"), nullable=False),
    Column("at", BigInteger, nullable=False),
)

chats = Table(
    "chats",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("session_id", ForeignKey("sessions.id"), nullable=False, index=True),
    Column("author", String(32), nullable=False),
    Column("role", String(16), nullable=False),
    Column("text", LargeBinary, nullable=False),  # encrypted
    Column("at", BigInteger, nullable=False),
)

parts = Table(
    "parts",
    metadata,
    Column("id", String(32), primary_key=True),  # the part id in the file's header
    Column("session_id", ForeignKey("sessions.id"), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("name", String(160), nullable=False, unique=True),  # in the recordings store
    Column("kek_id", String(64), nullable=False),
    Column("wrapped_dek", LargeBinary),  # none after erasure
    Column("started_at", BigInteger, nullable=False),
    Column("sealed_at", BigInteger),
    Column("chain", String(64)),
    Column("records", BigInteger),
    Column("bytes", BigInteger),
    Column("duration_us", BigInteger),
    Column("verdict", String(32)),
    Column("product_class", String(64), nullable=False, server_default="default"),
    Column("kept_until", BigInteger),  # known once it is sealed
    Column("erased_at", BigInteger),
    Column("erasure_id", ForeignKey("erasures.id")),
    UniqueConstraint("session_id", "number"),
)

holds = Table(
    "holds",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("session_id", ForeignKey("sessions.id"), nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("placed_by", ForeignKey("staff.id"), nullable=False),
    Column("placed_at", BigInteger, nullable=False),
    Column("lifted_by", ForeignKey("staff.id")),
    Column("lifted_at", BigInteger),
    Column("lift_reason", Text),
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("by", ForeignKey("staff.id")),  # none: the nightly job
    Column("reason", Text, nullable=False),
    Column("sessions", JSON, nullable=False),
    Column("parts", JSON, nullable=False),  # [{part_id, chain, session, records, bytes}]
    Column("keks", JSON, nullable=False),  # destroyed with it
    Column("certificate", Text, nullable=False),  # canonical JSON, signed
)

leaves = Table(
    "leaves",
    metadata,
    Column("day", String(10), primary_key=True),  # YYYY-MM-DD, UTC
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("part_id", ForeignKey("parts.id"), nullable=False, unique=True),
    Column("hash", String(64), nullable=False),
    Column("added_at", BigInteger, nullable=False),
)

heads = Table(
    "heads",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("day", String(10), nullable=False, index=True),
    Column("size", Integer, nullable=False),
    Column("root", String(64), nullable=False),
    Column("signed", Text, nullable=False),  # the checkpoint with its signature
    Column("at", BigInteger, nullable=False),
    Column("token", LargeBinary),
    Column("authority", String(256)),
    Column("stamped_at", BigInteger),
    Column("test_authority", Boolean, nullable=False, default=False),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("session_id", ForeignKey("sessions.id"), nullable=False, index=True),
    Column("asked_by", ForeignKey("staff.id"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("decided_by", ForeignKey("staff.id")),
    Column("decided_at", BigInteger),
    Column("verdict", String(16)),  # approved | refused
    Column("decision_reason", Text),
)

exports = Table(
    "exports",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("session_id", ForeignKey("sessions.id"), nullable=False, index=True),
    Column("asked_by", ForeignKey("staff.id"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # waiting | working | done | failed | stopped
    Column("progress", Float, nullable=False, default=0.0),
    Column("path", Text),
    Column("bytes", BigInteger),
    Column("sha256", String(64)),
    Column("failure", Text),
    Column("ended_at", BigInteger),
)

timeline = Table(
    "timeline",
    metadata,
    Column("chain", String(64), primary_key=True),  # "session:<id>" or "audit"
    Column("seq", BigInteger, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("media_time_us", BigInteger),
    Column("kind", String(32), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("data", Text, nullable=False),  # canonical JSON, hashed as stored
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

viewings = Table(
    "viewings",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("session_id", ForeignKey("sessions.id"), nullable=False, index=True),
    Column("by", ForeignKey("staff.id"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

Index("ix_sessions_state_queued_at", sessions.c.state, sessions.c.queued_at)
