//! A store with habits: it reads bodies slowly or not to their end, answers late, cuts what it sends, or says what stores
//! should not say. [`Store`] is any server with a handler; [`Registry`] is an honest registry that can be bent. Everything
//! that is asked is kept, with the time.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::sha256;

#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// With the query.
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    pub at: Instant,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Where a range begins that is asked for; 0 for all.
    pub fn first(&self) -> usize {
        let range = self.header("range").and_then(|range| range.strip_prefix("bytes="));
        range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap())
    }

    fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How long the server thinks first.
    pub after: Duration,
    /// How much of the body is sent before the connection ends.
    pub cut: Option<usize>,
    /// Whether the length is kept a secret.
    pub no_length: bool,
    /// How long it takes for each byte of the body.
    pub drip: Duration,
}

pub fn reply(status: u16, body: impl AsRef<[u8]>) -> Reply {
    Reply { status, body: body.as_ref().to_vec(), ..Reply::default() }
}

impl Reply {
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    pub fn cut(self, cut: usize) -> Self {
        Self { cut: Some(cut), ..self }
    }

    pub fn dripping(self, drip: Duration) -> Self {
        Self { drip, ..self }
    }

    pub fn without_length(self) -> Self {
        Self { no_length: true, ..self }
    }
}

/// How a body is read.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// At once.
    Full,
    /// So many bytes a second.
    Rate(u32),
    /// So many bytes, and then the connection ends.
    Cut(usize),
    /// Nothing; the answer comes before.
    Unread,
    /// Nothing, and no answer comes.
    Stuck,
}

pub struct Store {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Drop for Store {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Store {
    pub fn start(handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::paced(|_| Pace::Full, handler)
    }

    pub fn paced(
        pace: impl Fn(&Asked) -> Pace + Send + Sync + 'static,
        handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        // A small buffer, so that most of what the server does not read stays with the client; smaller than a segment of
        // the loopback, it would be filled once in a while only.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(256 * 1024).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.listen(64).unwrap();
        let listener = TcpListener::from_std(socket.into()).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (notes, pace, handler) = (seen.clone(), Arc::new(pace), Arc::new(handler));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (notes, pace, handler) = (notes.clone(), pace.clone(), handler.clone());
                tokio::spawn(async move { serve(stream, &notes, &*pace, &*handler).await });
            }
        });
        Self { address, seen, task }
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }

    /// How often something was asked.
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.seen().iter().filter(|asked| asked.is(method, part)).count()
    }
}

/// Reads one request and answers it; the connection ends then. What fails is the client's to tell.
async fn serve(
    mut stream: TcpStream,
    notes: &Mutex<Vec<Asked>>,
    pace: &(dyn Fn(&Asked) -> Pace + Send + Sync),
    handler: &(dyn Fn(&Asked) -> Reply + Send + Sync),
) -> Option<()> {
    let mut head = vec![stream.read_u8().await.ok()?];
    if head == [22] {
        // The beginning of TLS, to which a server of plain HTTP says this.
        return stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await.ok();
    }
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap().split(' ').map(str::to_owned);
    let mut asked = Asked {
        method: words.next().unwrap(),
        path: words.next().unwrap(),
        headers: lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
        body: Vec::new(),
        at: Instant::now(),
    };
    let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    let pace = pace(&asked);
    let end = match pace {
        Pace::Full | Pace::Rate(_) => length,
        Pace::Cut(bytes) => bytes.min(length),
        Pace::Unread | Pace::Stuck => 0,
    };
    let started = Instant::now();
    while asked.body.len() < end {
        let mut piece = vec![0; (end - asked.body.len()).min(16 * 1024)];
        stream.read_exact(&mut piece).await.ok()?;
        asked.body.extend(piece);
        if let Pace::Rate(rate) = pace {
            let due = started + Duration::from_secs(asked.body.len() as u64) / rate;
            tokio::time::sleep_until(due.into()).await;
        }
    }
    notes.lock().unwrap().push(asked.clone());
    if matches!(pace, Pace::Stuck) {
        std::future::pending::<()>().await;
    }
    let Reply { status, headers, body, after, cut, no_length, drip } = handler(&asked);
    if matches!(pace, Pace::Cut(_)) {
        return None;
    }
    tokio::time::sleep(after).await;
    let mut text = format!("HTTP/1.1 {status} Some\r\nconnection: close\r\n");
    for (name, value) in headers {
        text += &[&name, ": ", &value, "\r\n"].concat();
    }
    if !no_length && status != 204 {
        text += &["content-length: ", &body.len().to_string(), "\r\n"].concat();
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await.ok()?;
    for byte in body.iter().filter(|_| !drip.is_zero() && asked.method != "HEAD") {
        stream.write_all(&[*byte]).await.ok()?;
        tokio::time::sleep(drip).await;
    }
    if asked.method != "HEAD" && drip.is_zero() {
        stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())]).await.ok()?;
    }
    stream.shutdown().await.ok()
}

/// What a bent registry answers instead, if anything.
pub type Bend = Box<dyn Fn(&Asked, &Kept) -> Option<Reply> + Send + Sync>;

#[derive(Default)]
pub struct Kept {
    pub blobs: Mutex<BTreeMap<String, Vec<u8>>>,
    pub manifests: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Uploads in the making, by number.
    pub uploads: Mutex<BTreeMap<usize, Vec<u8>>>,
}

/// A registry that does what the distribution specification says, but for its habits.
pub struct Registry {
    pub store: Store,
    pub kept: Arc<Kept>,
}

impl Registry {
    pub fn start(pace: impl Fn(&Asked) -> Pace + Send + Sync + 'static, bend: Bend) -> Self {
        let kept = Arc::new(Kept::default());
        let own = kept.clone();
        let pace = Arc::new(pace);
        let same = pace.clone();
        let store = Store::paced(
            move |asked| pace(asked),
            move |asked| {
                // What arrived of a part that was cut is there, as with real ones.
                if let (Pace::Cut(_), Some(number)) = (same(asked), number(asked)) {
                    own.uploads.lock().unwrap().entry(number).or_default().extend(&asked.body);
                    return reply(500, "");
                }
                bend(asked, &own).unwrap_or_else(|| own.answer(asked))
            },
        );
        Self { store, kept }
    }

    pub fn honest() -> Self {
        Self::start(|_| Pace::Full, Box::new(|_, _| None))
    }

    pub fn host(&self) -> String {
        self.store.host()
    }
}

fn number(asked: &Asked) -> Option<usize> {
    let path = asked.path.split('?').next().unwrap();
    path.rsplit_once("/blobs/uploads/").and_then(|(_, number)| number.parse().ok())
}

impl Kept {
    /// Keeps a blob, and gives its digest.
    pub fn blob(&self, bytes: &[u8]) -> String {
        let digest = format!("sha256:{}", sha256(bytes));
        self.blobs.lock().unwrap().insert(digest.clone(), bytes.to_vec());
        digest
    }

    pub fn answer(&self, asked: &Asked) -> Reply {
        let path = asked.path.split('?').next().unwrap();
        let last = path.rsplit('/').next().unwrap().to_owned();
        if path.ends_with("/blobs/uploads/") {
            let number = self.uploads.lock().unwrap().len();
            self.uploads.lock().unwrap().insert(number, Vec::new());
            return reply(202, "").with("location", format!("{path}{number}?_state=a%2Fb%3D%3D"));
        }
        if let Some(number) = number(asked) {
            return self.upload(asked, path, number);
        }
        if path.contains("/blobs/") {
            let blobs = self.blobs.lock().unwrap();
            let Some(blob) = blobs.get(&last) else { return reply(404, "") };
            return match asked.first() {
                0 => reply(200, blob),
                first => reply(206, &blob[first..])
                    .with("content-range", format!("bytes {first}-{}/{}", blob.len() - 1, blob.len())),
            };
        }
        let mut manifests = self.manifests.lock().unwrap();
        if asked.method == "PUT" {
            manifests.insert(format!("sha256:{}", sha256(&asked.body)), asked.body.clone());
            manifests.insert(last, asked.body.clone());
            return reply(201, "");
        }
        manifests.get(&last).map_or_else(|| reply(404, ""), |manifest| reply(200, manifest))
    }

    fn upload(&self, asked: &Asked, path: &str, number: usize) -> Reply {
        assert!(
            asked.path.contains("_state=a%2Fb%3D%3D"),
            "the query is not as it was given: {}",
            asked.path
        );
        let mut uploads = self.uploads.lock().unwrap();
        let Some(upload) = uploads.get_mut(&number) else { return reply(404, "") };
        if asked.method == "PATCH" {
            let range = asked.header("content-range").unwrap();
            if range.split('-').next().unwrap().parse() != Ok(upload.len()) {
                return reply(416, "");
            }
        }
        upload.extend(&asked.body);
        let here = upload.len();
        if asked.method == "PUT" {
            let bytes = uploads.remove(&number).unwrap();
            let digest = format!("sha256:{}", sha256(&bytes));
            if !asked.path.ends_with(&format!("digest={}", digest.replace(':', "%3A"))) {
                return reply(400, r#"{"errors":[{"code":"DIGEST_INVALID","message":"other bytes"}]}"#);
            }
            self.blobs.lock().unwrap().insert(digest, bytes);
            // The number is never given again.
            uploads.insert(number, Vec::new());
            return reply(201, "");
        }
        let status = if asked.method == "PATCH" { 202 } else { 204 };
        reply(status, "")
            .with("location", format!("{path}?_state=a%2Fb%3D%3D"))
            .with("range", format!("0-{}", here.saturating_sub(1)))
    }
}
