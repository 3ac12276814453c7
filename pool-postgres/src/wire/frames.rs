//! [`Frames`]: where frames begin and end in one direction of a connection.

/// How much of a frame is looked at: enough for every command's tag and parameter's name that
/// matters.
const SEEN: usize = 24;
/// A kind, and a length that counts itself.
const HEAD: usize = 5;

/// One direction, fed with whatever pieces it comes in.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that are here.
    head_len: usize,
    /// Bytes of the body that are not here yet; `None` in a head.
    left: Option<usize>,
    body: [u8; SEEN],
    body_len: usize,
}

impl Frames {
    /// The client's side begins with a frame that has no kind; it is told as one of kind 0.
    pub(super) fn with_startup() -> Self {
        Self { head_len: 1, ..Self::default() }
    }

    /// Calls `each` with the kind of every frame that is complete, and its first bytes. False if the
    /// bytes are no frames.
    #[must_use]
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(u8, &[u8])) -> bool {
        while !bytes.is_empty() {
            // Mostly whole frames come, and nothing has to be kept of them.
            if self.head_len == 0
                && let Some((head, rest)) = bytes.split_first_chunk::<HEAD>()
            {
                let [kind, length @ ..] = *head;
                let Some(length) = u32::from_be_bytes(length).checked_sub(4) else {
                    return false;
                };
                if let Some((body, rest)) = rest.split_at_checked(length as usize) {
                    each(kind, &body[..body.len().min(SEEN)]);
                    bytes = rest;
                    continue;
                }
            }
            let left = match self.left {
                Some(left) => left,
                None => {
                    let take = bytes.len().min(HEAD - self.head_len);
                    let (head, rest) = bytes.split_at(take);
                    self.head[self.head_len..self.head_len + take].copy_from_slice(head);
                    self.head_len += take;
                    bytes = rest;
                    if self.head_len < HEAD {
                        return true;
                    }
                    let [_, length @ ..] = self.head;
                    let Some(left) = u32::from_be_bytes(length).checked_sub(4) else {
                        return false;
                    };
                    left as usize
                }
            };
            let (here, rest) = bytes.split_at(bytes.len().min(left));
            let seen = here.len().min(SEEN - self.body_len);
            self.body[self.body_len..self.body_len + seen].copy_from_slice(&here[..seen]);
            self.body_len += seen;
            bytes = rest;
            let left = left - here.len();
            self.left = Some(left);
            if left == 0 {
                each(self.head[0], &self.body[..self.body_len]);
                *self = Self::default();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind][..], &length, body].concat()
    }

    #[test]
    fn frames_are_found_in_whatever_pieces_they_come() {
        let long = [b'x'; 300];
        let stream =
            [frame(b'Z', b"I"), frame(b'1', b""), frame(b'D', &long), frame(b'C', b"SET\0")];
        let stream = stream.concat();
        for piece in 1..=stream.len() {
            let (mut frames, mut seen) = (Frames::default(), Vec::new());
            for bytes in stream.chunks(piece) {
                assert!(frames.feed(bytes, |kind, body| seen.push((kind, body.to_vec()))));
            }
            let long = long[..SEEN].to_vec();
            let wanted =
                [(b'Z', b"I".to_vec()), (b'1', vec![]), (b'D', long), (b'C', b"SET\0".to_vec())];
            assert_eq!(seen, wanted, "in pieces of {piece}");
        }
    }

    #[test]
    fn the_first_frame_of_a_client_has_no_kind() {
        let startup = [&9_u32.to_be_bytes()[..], b"hello"].concat();
        let mut seen = Vec::new();
        let stream = [startup, frame(b'S', b"")].concat();
        assert!(Frames::with_startup().feed(&stream, |kind, _| seen.push(kind)));
        assert_eq!(seen, [0, b'S']);
    }

    #[test]
    fn a_length_that_cannot_be_is_noticed() {
        assert!(!Frames::default().feed(&[b'Z', 0, 0, 0, 3], |_, _| ()));
    }
}
