//! The first words of PostgreSQL's protocol: enough to know that a server lets clients in.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A server that does not answer within this time is asked again.
const PATIENCE: Duration = Duration::from_secs(1);

/// If a server greets a client of this name, up to "ready for query".
pub(super) fn greets(socket: &Path, user: &str, database: &str) -> bool {
    greeting(socket, user, database).unwrap_or(false)
}

fn greeting(socket: &Path, user: &str, database: &str) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&startup(user, database))?;
    loop {
        // A letter, then the length of itself and what follows.
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length).saturating_sub(4);
        std::io::copy(&mut Read::by_ref(&mut stream).take(length.into()), &mut std::io::sink())?;
        match kind {
            b'Z' => {
                stream.write_all(&[b'X', 0, 0, 0, 4])?; // bye
                return Ok(true);
            }
            b'E' => return Ok(false), // as "the database system is starting up"
            _ => {}
        }
    }
}

fn startup(user: &str, database: &str) -> Vec<u8> {
    let mut body = Vec::from(196_608_u32.to_be_bytes()); // protocol 3.0
    for word in ["user", user, "database", database, ""] {
        body.extend_from_slice(word.as_bytes());
        body.push(0);
    }
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    let mut message = Vec::from(length.to_be_bytes());
    message.append(&mut body);
    message
}
