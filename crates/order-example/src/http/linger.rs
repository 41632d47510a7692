//! Who reads what nobody wants to read? A request that is refused by its first lines is answered before
//! its body has arrived; a client that is still sending then would find its connection closed, and no
//! answer. So the rest of a large body is read and thrown away beside the answer, within bounds.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use bytes::Bytes;
use futures::future::poll_fn;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Bodies up to here, in bytes, are on their way as a whole: no answer overtakes them.
const SMALL: u64 = 64 * 1024;

/// How much is thrown away for one request, in bytes.
const MOST: usize = 16 * 1024 * 1024;

/// For how long.
const LONGEST: Duration = Duration::from_secs(10);

/// The same request, whose body is read to its end even when its handler does not.
pub(super) fn read_to_the_end(request: Request) -> Request {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let is_sized = length.is_some() || !request.headers().contains_key(header::TRANSFER_ENCODING);
    if is_sized && length.unwrap_or_default() <= SMALL {
        return request;
    }
    request.map(|body| Body::new(Lingering(body)))
}

/// A body whose rest is thrown away when it is dropped.
struct Lingering(Body);

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.0.is_end_stream() {
            return;
        }
        let rest = mem::replace(&mut self.0, Body::empty());
        // Outside of a runtime there is no client either.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(LONGEST, throw_away(rest)));
        }
    }
}

async fn throw_away(mut rest: Body) {
    let mut read = 0;
    while read < MOST {
        match poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx)).await {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) | None => return,
        }
    }
}
