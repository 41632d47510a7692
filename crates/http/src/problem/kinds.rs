//! Which problems are there? One table; each row says what the client does next.

use http::StatusCode;

use super::Kind;

macro_rules! kinds {
    ($($name:ident $status:ident $slug:literal $title:literal { $($flag:ident)* } $next:literal;)+) => {
        $(
            #[doc = concat!("`", $slug, "`: ", $next)]
            pub const $name: &Kind = &Kind {
                slug: $slug,
                status: StatusCode::$status,
                title: $title,
                retryable: kinds!(@has retryable $($flag)*),
                same_key: kinds!(@has same_key $($flag)*),
                next: $next,
            };
        )+
        /// Every kind of this crate.
        pub const ALL: &[&Kind] = &[$($name),+];
    };
    (@has retryable retryable $($rest:ident)*) => { true };
    (@has same_key same_key $($rest:ident)*) => { true };
    (@has $wanted:ident) => { false };
    (@has $wanted:ident $other:ident $($rest:ident)*) => { kinds!(@has $wanted $($rest)*) };
}

kinds! {
    IDEMPOTENCY_KEY_MISSING BAD_REQUEST "idempotency-key-missing"
        "The request has no key" { same_key }
        "Send the request with a key.";
    IDEMPOTENCY_KEY_MALFORMED BAD_REQUEST "idempotency-key-malformed"
        "The key can not be read" { same_key }
        "Mend the header and send the request again.";
    IDEMPOTENCY_KEY_REUSED UNPROCESSABLE_ENTITY "idempotency-key-reused"
        "The key belongs to another request" {}
        "Use a new key for a new request, or send the first request again.";
    IDEMPOTENCY_IN_PROGRESS CONFLICT "idempotency-in-progress"
        "A request with this key is still running" { retryable same_key }
        "Send the same request with the same key after Retry-After, or look at operation.";
    IDEMPOTENCY_STORE_UNAVAILABLE SERVICE_UNAVAILABLE "idempotency-store-unavailable"
        "The store of keys can not be reached" { retryable same_key }
        "Send the same request with the same key after Retry-After.";
    UPSTREAM_UNAVAILABLE SERVICE_UNAVAILABLE "upstream-unavailable"
        "Something that the request needs does not answer" { retryable same_key }
        "Send the same request with the same key after Retry-After: it goes on where it stopped.";
    NEEDS_ATTENTION INTERNAL_SERVER_ERROR "needs-attention"
        "What became of the request has to be looked up" {}
        "Contact us; never repeat it blindly, and not with another key.";
    INTERNAL_ERROR INTERNAL_SERVER_ERROR "internal-error"
        "The request met a fault of the service" {}
        "Contact us.";
    REQUEST_FAILED UNPROCESSABLE_ENTITY "request-failed"
        "The request can not be carried out" {}
        "Show it; the key is used up.";
    REQUEST_CANCELLED CONFLICT "request-cancelled"
        "The request was cancelled" {}
        "Show it; use a new key to ask again.";
    MALFORMED_BODY BAD_REQUEST "malformed-body"
        "The body can not be read" { same_key }
        "Mend the body and send the request again.";
    BODY_TOO_LARGE PAYLOAD_TOO_LARGE "body-too-large"
        "The body is too large" { same_key }
        "Send less.";
    UNSUPPORTED_MEDIA_TYPE UNSUPPORTED_MEDIA_TYPE "unsupported-media-type"
        "The body is of a type that is not taken here" { same_key }
        "Send a type that the answer names.";
    VALIDATION_FAILED UNPROCESSABLE_ENTITY "validation-failed"
        "A value of the request is not valid" { same_key }
        "Mend what errors names; the same key may be used.";
    MALFORMED_PRECONDITION BAD_REQUEST "malformed-precondition"
        "If-Match or If-None-Match can not be read" { same_key }
        "Mend the header and send the request again.";
    PRECONDITION_REQUIRED PRECONDITION_REQUIRED "precondition-required"
        "The request must say which version it is about" { same_key }
        "Send If-Match.";
    VERSION_MISMATCH PRECONDITION_FAILED "version-mismatch"
        "The resource has changed" { same_key }
        "Load it again, and decide.";
    UNAUTHORIZED UNAUTHORIZED "unauthorized"
        "Nobody is known by this authorization" { same_key }
        "Send a valid Authorization.";
    FORBIDDEN FORBIDDEN "forbidden"
        "This is not allowed" { same_key }
        "Ask for the permission.";
    NOT_FOUND NOT_FOUND "not-found"
        "There is nothing here" { same_key }
        "Look it up again.";
    METHOD_NOT_ALLOWED METHOD_NOT_ALLOWED "method-not-allowed"
        "This can not be done here" { same_key }
        "Use a method that the header Allow names.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_kinds_share_a_slug() {
        for (at, kind) in ALL.iter().enumerate() {
            let twin = ALL[..at].iter().find(|other| other.slug == kind.slug);
            assert_eq!(twin, None, "{}", kind.slug);
        }
    }

    #[test]
    fn what_a_client_may_repeat_as_it_is_does_not_use_its_key_up() {
        for kind in ALL {
            assert!(!kind.retryable || kind.same_key, "{}", kind.slug);
        }
    }
}
