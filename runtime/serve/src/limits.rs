//! How much may be held for clients, by the memory that the process may use. In goes a number of bytes; out come limits.
//! Needs no client.

/// Bytes that a client may send of all calls of a connection over gRPC before the server has read them. They are held beside
/// the budget, which bounds the number of connections instead.
pub const GRPC_WINDOW: u32 = 1024 * 1024;

/// What is held for clients at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Bytes of requests and answers.
    pub budget: u64,
    pub http_connections: usize,
    pub grpc_connections: usize,
}

/// Part of the memory that requests and answers may take.
pub const BUDGET_PART: u64 = 4;
/// What a connection over HTTP may hold beside them: its read and write buffers when they are full. All connections may so
/// hold an eighth of the memory.
const HTTP_CONNECTION: u64 = 128 * 1024;
/// What a connection over gRPC may hold beside them: what its client may send before it is read. All may so hold a quarter.
const GRPC_CONNECTION: u64 = GRPC_WINDOW as u64;

impl MemoryLimits {
    /// For a process that may use so many bytes, and for a budget if one is asked for.
    pub fn new(memory: u64, budget: Option<u64>) -> Self {
        let connections = |bytes: u64, least: u64, most: u64| {
            usize::try_from(bytes.clamp(least, most)).unwrap_or(usize::MAX)
        };
        Self {
            budget: budget.unwrap_or(memory / BUDGET_PART),
            http_connections: connections(memory / 8 / HTTP_CONNECTION, 512, 16_384),
            grpc_connections: connections(memory / 4 / GRPC_CONNECTION, 64, 4096),
        }
    }
}
