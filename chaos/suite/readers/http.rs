//! As much of HTTP/1.1 as a client needs that holds thousands of connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long a gateway may take to accept a connection and to begin an answer. A packet that is lost at
/// first is sent again within a second, and within two more.
const ANSWER: Duration = Duration::from_secs(4);
/// The longest head of an answer.
const MOST_HEAD: usize = 16 * 1024;
/// How much is read at once.
const PIECE: usize = 16 * 1024;

/// An answer whose body comes in pieces.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    stream: TcpStream,
    /// What came with the head and is not read yet.
    first: Vec<u8>,
    framing: Framing,
}

/// How the end of a body is told.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    /// So many bytes are left.
    Length(usize),
    Chunked(Chunks),
    /// By the end of the connection.
    Open,
}

/// Where a chunked body stands.
#[derive(Debug, PartialEq, Eq)]
enum Chunks {
    /// In the line with a chunk's size, of which this has come.
    Size(Vec<u8>),
    /// So many bytes of the chunk are left.
    Data(usize),
    /// So many bytes are left of the line's end behind a chunk.
    Break(usize),
    /// Behind the last chunk.
    Over,
}

/// Connects; `receive_buffer`: how much the system may hold for a client that does not read, in bytes.
pub(super) async fn connect(at: SocketAddr, receive_buffer: Option<u32>) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(size) = receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    let stream = timeout(ANSWER, socket.connect(at)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks for `path` and waits for the head of the answer. `headers`: whole lines.
pub(super) async fn get(mut stream: TcpStream, path: &str, headers: &str) -> io::Result<Answer> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: gateway\r\n{headers}\r\n");
    timeout(ANSWER, async {
        stream.write_all(request.as_bytes()).await?;
        let mut received = Vec::new();
        loop {
            read(&stream, PIECE, &mut received).await?;
            if let Some(end) = received.windows(4).position(|end| end == b"\r\n\r\n") {
                let first = received.split_off(end + 4);
                return Answer::of(&received, first, stream);
            }
            if received.len() > MOST_HEAD {
                return Err(invalid("its head does not end"));
            }
        }
    })
    .await?
}

impl Answer {
    fn of(head: &[u8], first: Vec<u8>, stream: TcpStream) -> io::Result<Self> {
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| invalid("it has no status"))?;
        let header = |name: &str| {
            let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
            let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
            Some(value.trim())
        };
        let length = header("content-length").and_then(|length| length.parse().ok());
        let framing = match (status, header("transfer-encoding"), length) {
            (204 | 304, ..) => Framing::Length(0),
            (_, Some("chunked"), _) => Framing::Chunked(Chunks::Size(Vec::new())),
            (_, _, Some(length)) => Framing::Length(length),
            _ => Framing::Open,
        };
        Ok(Self { status, etag: header("etag").map(str::to_owned), stream, first, framing })
    }

    /// Appends the next bytes of the body, as they come, of at most `most` that are read; `false` when it
    /// has ended. Between two calls it holds no buffer. Cancellation loses nothing.
    ///
    /// # Errors
    /// When the connection ends before the body does, or the body is not framed as HTTP says.
    pub(super) async fn next(&mut self, most: usize, body: &mut Vec<u8>) -> io::Result<bool> {
        if self.framing.is_over() {
            return Ok(false);
        }
        let mut received = std::mem::take(&mut self.first);
        if received.is_empty() {
            match read(&self.stream, most, &mut received).await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return if self.framing == Framing::Open { Ok(false) } else { Err(error) };
                }
                other => other?,
            }
        }
        self.framing.take(&received, body)?;
        Ok(true)
    }

    /// The rest of the body, and the connection for another request.
    pub(super) async fn whole(mut self) -> io::Result<(Vec<u8>, TcpStream)> {
        let mut body = Vec::new();
        timeout(ANSWER, async {
            while self.next(PIECE, &mut body).await? {}
            io::Result::Ok(())
        })
        .await??;
        Ok((body, self.stream))
    }
}

impl Framing {
    fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunks::Over))
    }

    /// Appends to `body` what of `bytes` belongs to it.
    fn take(&mut self, mut bytes: &[u8], body: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Open => body.extend_from_slice(bytes),
            Self::Length(left) => {
                *left =
                    left.checked_sub(bytes.len()).ok_or_else(|| invalid("more came than said"))?;
                body.extend_from_slice(bytes);
            }
            Self::Chunked(chunks) => {
                while !bytes.is_empty() {
                    bytes = chunks.step(bytes, body)?;
                }
            }
        }
        Ok(())
    }
}

impl Chunks {
    /// Takes a part of `bytes`; returns the rest.
    fn step<'a>(&mut self, bytes: &'a [u8], body: &mut Vec<u8>) -> io::Result<&'a [u8]> {
        let (taken, next) = match self {
            Self::Size(line) => {
                let end = bytes.iter().position(|byte| *byte == b'\n');
                line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
                if line.len() > MOST_HEAD {
                    return Err(invalid("a chunk's size does not end"));
                }
                let Some(end) = end else { return Ok(&[]) };
                let size = String::from_utf8_lossy(line);
                let size = size.split(';').next().unwrap_or_default().trim();
                match usize::from_str_radix(size, 16).map_err(|_| invalid("a chunk has no size"))? {
                    0 => (end + 1, Self::Over),
                    size => (end + 1, Self::Data(size)),
                }
            }
            Self::Data(left) => {
                let some = bytes.len().min(*left);
                body.extend_from_slice(&bytes[..some]);
                let left = *left - some;
                (some, if left == 0 { Self::Break(2) } else { Self::Data(left) })
            }
            Self::Break(left) => {
                let some = bytes.len().min(*left);
                let left = *left - some;
                (some, if left == 0 { Self::Size(Vec::new()) } else { Self::Break(left) })
            }
            // Trailers, of which there are none but an empty line.
            Self::Over => (bytes.len(), Self::Over),
        };
        *self = next;
        Ok(&bytes[taken..])
    }
}

/// Appends what there is to read, at most `most` bytes; waits while there is nothing.
async fn read(stream: &TcpStream, most: usize, received: &mut Vec<u8>) -> io::Result<()> {
    loop {
        stream.readable().await?;
        let mut buffer = [0; PIECE];
        match stream.try_read(&mut buffer[..most.min(PIECE)]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(size) => {
                received.extend_from_slice(&buffer[..size]);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the bench has them compiled, and not run")]
mod tests {
    use super::*;

    fn framed(mut framing: Framing, pieces: &[&[u8]]) -> io::Result<(Vec<u8>, bool)> {
        let mut body = Vec::new();
        for piece in pieces {
            framing.take(piece, &mut body)?;
        }
        Ok((body, framing.is_over()))
    }

    #[test]
    fn chunks_are_put_together_however_they_are_cut() {
        let text = b"5\r\nhello\r\n1;ext=1\r\n \r\nA\r\n0123456789\r\n0\r\n\r\n";
        for size in 1..text.len() {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            let (body, over) = framed(Framing::Chunked(Chunks::Size(Vec::new())), &pieces).unwrap();
            assert_eq!((body.as_slice(), over), (b"hello 0123456789".as_slice(), true), "{size}");
        }
    }

    #[test]
    fn a_body_that_is_cut_off_is_not_over() {
        let chunked = || Framing::Chunked(Chunks::Size(Vec::new()));
        for (framing, text) in [
            (chunked(), "5\r\nhell"),
            (chunked(), "5\r\nhello\r\n"),
            (chunked(), ""),
            (Framing::Length(5), "hell"),
        ] {
            assert!(!framed(framing, &[text.as_bytes()]).unwrap().1, "{text}");
        }
        assert!(framed(Framing::Length(5), &[b"hello"]).unwrap().1);
        assert!(framed(Framing::Length(5), &[b"hello!"]).is_err());
        assert!(framed(chunked(), &[b"x\r\n"]).is_err());
    }
}
