//! What does a wrapped handler's answer carry? Its own body, the stored bytes, or the begin of a body
//! that was too large to be stored and the rest of it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

/// The body of an answer that went through the layer.
pub struct ResponseBody<B: Body>(Form<B>);

enum Form<B: Body> {
    /// As the handler gave it.
    Own(Pin<Box<B>>),
    /// Read whole, stored, or made here.
    Whole(Option<Bytes>),
    /// What was read before it was too much, and the rest.
    Begun(VecDeque<Bytes>, Pin<Box<B>>),
    /// What was read before it broke, and how.
    Broken(VecDeque<Bytes>, Option<B::Error>),
}

impl<B: Body<Data = Bytes>> ResponseBody<B> {
    /// A body that is passed on as it is.
    pub(crate) fn own(body: B) -> Self {
        Self(Form::Own(Box::pin(body)))
    }

    /// Reads a body up to so many bytes. Gives the bytes when that was all of it, and a body that has
    /// all of it.
    pub(crate) async fn keep(body: B, limit: usize) -> (Option<Bytes>, Self) {
        let most = u64::try_from(limit).unwrap_or(u64::MAX);
        if body.size_hint().lower() > most {
            return (None, Self::own(body));
        }
        let mut body = Box::pin(body);
        let (mut read, mut size) = (VecDeque::new(), 0_usize);
        while let Some(frame) = body.frame().await {
            let data = match frame.map(Frame::into_data) {
                Ok(Ok(data)) => data,
                // Trailers are not stored.
                Ok(Err(_trailers)) => continue,
                Err(error) => return (None, Self(Form::Broken(read, Some(error)))),
            };
            size += data.len();
            read.push_back(data);
            if size > limit {
                return (None, Self(Form::Begun(read, body)));
            }
        }
        let whole = match read.pop_front() {
            Some(only) if read.is_empty() => only,
            Some(first) => std::iter::once(first).chain(read).flatten().collect(),
            None => Bytes::new(),
        };
        (Some(whole.clone()), Self::from(whole))
    }
}

impl<B: Body> From<Bytes> for ResponseBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self(Form::Whole(Some(bytes)))
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.0 {
            Form::Own(body) => body.as_mut().poll_frame(cx),
            Form::Whole(bytes) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Form::Begun(read, rest) => match read.pop_front() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None => rest.as_mut().poll_frame(cx),
            },
            Form::Broken(read, error) => Poll::Ready(match read.pop_front() {
                Some(bytes) => Some(Ok(Frame::data(bytes))),
                None => error.take().map(Err),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Form::Own(body) => body.is_end_stream(),
            Form::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Form::Begun(read, rest) => read.is_empty() && rest.is_end_stream(),
            Form::Broken(read, error) => read.is_empty() && error.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Form::Own(body) => body.size_hint(),
            Form::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Form::Begun(..) | Form::Broken(..) => SizeHint::default(),
        }
    }
}

// Only boxed bodies are pinned.
impl<B: Body> Unpin for ResponseBody<B> {}

impl<B: Body> std::fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::{Full, StreamBody};

    use super::*;

    type Chunk = Result<Frame<Bytes>, &'static str>;

    fn chunks(
        chunks: Vec<Result<&'static str, &'static str>>,
    ) -> impl Body<Data = Bytes, Error = &'static str> {
        let frame = |chunk: Result<&'static str, _>| -> Chunk { chunk.map(|text| Frame::data(text.into())) };
        StreamBody::new(stream::iter(chunks.into_iter().map(frame)))
    }

    async fn kept(
        body: Vec<Result<&'static str, &'static str>>,
        limit: usize,
    ) -> (Option<Bytes>, Result<Bytes, &'static str>) {
        let (kept, body) = ResponseBody::keep(chunks(body), limit).await;
        (kept, body.collect().await.map(|all| all.to_bytes()))
    }

    #[tokio::test]
    async fn a_body_within_the_limit_is_kept_and_passed_on() {
        let (kept, passed) = kept(vec![Ok("ab"), Ok("cd")], 4).await;
        assert_eq!(kept, Some(Bytes::from("abcd")));
        assert_eq!(passed, Ok(Bytes::from("abcd")));
    }

    #[tokio::test]
    async fn a_larger_body_is_passed_on_whole_and_not_kept() {
        let (kept, passed) = kept(vec![Ok("ab"), Ok("cd"), Ok("e")], 3).await;
        assert_eq!((kept, passed), (None, Ok(Bytes::from("abcde"))));
        let (kept, body) = ResponseBody::keep(Full::new(Bytes::from("abc")), 2).await;
        let passed = body.collect().await.expect("whole").to_bytes();
        assert_eq!((kept, passed), (None, Bytes::from("abc")));
    }

    #[tokio::test]
    async fn a_body_that_breaks_is_not_kept_and_breaks_for_its_client_too() {
        let (kept, passed) = kept(vec![Ok("ab"), Err("cut")], 9).await;
        assert_eq!((kept, passed), (None, Err("cut")));
    }
}
