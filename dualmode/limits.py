"""Decides: every limit of the program, with its unit in the name and the reason for its number.

Nothing else in the tree carries a bare number that bounds memory, time or count.
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# --- gRPC requests -------------------------------------------------------------------------------------------

#: etcd's `--max-request-bytes`: one proposal. Entries of this size still replicate within a heartbeat.
MAX_REQUEST_BYTES: Final = 1536 * KIB
#: etcd allows this much on top for the gRPC message around a request, so that etcd's own error text is seen.
GRPC_OVERHEAD_BYTES: Final = 512 * KIB
#: etcd's `--max-txn-ops`: keeps one apply short.
MAX_TXN_OPERATIONS: Final = 128
#: etcd refuses longer leases: 9e9 seconds still fits a Go duration.
MAX_LEASE_TTL_SECONDS: Final = 9_000_000_000
#: Requests of keep-alive streams that are remembered, with their answers: some two hundred bytes each.
REMEMBERED_KEEP_ALIVES: Final = 16_384
#: etcd's `--max-learners`: members that get everything and decide nothing.
MAX_LEARNERS: Final = 1
#: etcd's back-pressure: further proposals are refused ("too many requests") while apply lags this far behind.
MAX_UNAPPLIED_ENTRIES: Final = 5000

#: Error texts whose header blocks are kept ready. etcd has some sixty; others carry what a client said.
REMEMBERED_STATUSES: Final = 256
#: Messages that one stream may take without a pause while others wait for the loop.
MESSAGES_PER_TURN: Final = 32
#: A stream's `send` waits while more than this is unsent.
STREAM_UNSENT_BYTES: Final = 256 * KIB

#: So much of a slow request is logged; the rest says little.
LOGGED_REQUEST_CHARACTERS: Final = 1000

# --- JSON gateway --------------------------------------------------------------------------------------------

#: JSON of a request against its message: base64 takes a third more, names and quotes the rest.
JSON_SIZE_FACTOR: Final = 2
#: Objects and arrays within each other: protobuf parsers take 100 levels of messages, each an object and an array.
JSON_DEPTH: Final = 200

# --- WebSocket -----------------------------------------------------------------------------------------------

#: One message of a stream that is a WebSocket: JSON_SIZE_FACTOR times the largest request by default, rounded up.
WEBSOCKET_MESSAGE_BYTES: Final = 4 * MIB
#: Above so many bytes of messages that the call has not read, the client is not read from.
WEBSOCKET_HELD_BYTES: Final = 256 * KIB

# --- Status pages --------------------------------------------------------------------------------------------

#: Parameters in the query of a status page; more are not looked at.
QUERY_FIELDS: Final = 64

# --- HTTP/2 (RFC 9113) ---------------------------------------------------------------------------------------

#: The smallest maximum frame size (RFC 9113 section 4.2); more per frame buys nothing on loopback and LAN.
HTTP2_FRAME_BYTES: Final = 16 * KIB
#: What we let a peer send per stream before we credit it again: a whole request fits.
HTTP2_STREAM_WINDOW_BYTES: Final = 4 * MIB
#: The same for a connection: bounds what one client can make us hold.
HTTP2_CONNECTION_WINDOW_BYTES: Final = 16 * MIB
#: Streams open at once on one connection. etcd says 2^32-1; a bound keeps memory in hand and serves 10,000 watches
#: on one stream as well as on ten thousand.
HTTP2_CONCURRENT_STREAMS: Final = 16_384
#: Uncompressed size of one header list (RFC 9113 section 6.5.2), the number Go's server uses being 1 MiB.
HTTP2_HEADER_LIST_BYTES: Final = 64 * KIB
#: CONTINUATION frames per header block: more is the 2024 flood (CVE-2024-27316).
HTTP2_CONTINUATION_FRAMES: Final = 16
#: HPACK dynamic table we keep for a peer: the protocol's default.
HTTP2_HEADER_TABLE_BYTES: Final = 4 * KIB
#: Resets by the peer of streams that we were working on, above those we finished: the 2023 rapid reset
#: (CVE-2023-44487). A budget refilled by finished streams.
HTTP2_RESET_BUDGET: Final = 1000
#: Frames that cost us work and carry nothing (PING, SETTINGS, empty DATA, PRIORITY, WINDOW_UPDATE on closed streams)
#: DATA frames of one stream and one read become one event up to this size.
JOINED_DATA_BYTES: Final = 2 * KIB
#: between two frames that carry something: the 2019 floods.
HTTP2_IDLE_FRAMES_BUDGET: Final = 10_000
#: A peer that does not acknowledge our SETTINGS in this time is not speaking HTTP/2 (RFC 9113 section 6.5.3).
HTTP2_SETTINGS_TIMEOUT_SECONDS: Final = 10.0
#: Bytes queued for one connection because the peer does not read: above it we stop reading from that peer.
CONNECTION_UNSENT_BYTES: Final = 4 * MIB
#: Answers of this length are handed to the kernel one by one, shorter ones leave together.
LONG_ANSWER_BYTES: Final = 64 * KIB
#: Pieces of it handed to the kernel in one call: below every system's IOV_MAX.
PIECES_PER_SEND: Final = 64
#: Pieces that together are no longer than this are joined: copying them costs less than keeping them apart.
SMALL_PIECE_BYTES: Final = 4 * KIB
#: Remembered header blocks per connection (native engine): one per method and token in practice.
HTTP2_REMEMBERED_BLOCKS: Final = 256
#: A block worth remembering is no longer than this; with the count above it bounds the memory per connection.
HTTP2_REMEMBERED_BLOCK_BYTES: Final = 1 * KIB
#: The same for what a short block unfolds to.
HTTP2_REMEMBERED_FIELDS: Final = 64
#: Bytes of whole answers that wait on one connection because its client gives no window. Above it further answers that
#: would wait are refused: a client that asks for much and takes nothing must not fill our memory.
HTTP2_QUEUED_BYTES: Final = 64 * MIB
#: What waits on one connection for windows, of answers that are streamed: a thousand watch streams that are not read,
#: at WATCH_STREAM_UNSENT_BYTES each. A client that lets more gather is sent away; it finds its revisions again.
HTTP2_STREAMED_BYTES: Final = 256 * MIB
#: What a queued piece costs beside its bytes, counted so that many small ones are seen for what they are.
HTTP2_QUEUED_PIECE_BYTES: Final = 256
#: Verdicts on header fields remembered by the process: the fields of all clients' calls but the ones that vary.
HTTP2_REMEMBERED_VERDICTS: Final = 1024
#: Request bodies being gathered on one connection, all streams together. Above it the stream that asks for more is
#: refused: flow control alone cannot bound this without letting half-sent bodies block each other for ever.
HTTP2_GATHERED_BYTES: Final = 64 * MIB
#: What is queued for a stream because of flow control falls below this: time to produce more.
HTTP2_LOW_WATER_BYTES: Final = 64 * KIB
#: Streams that one side reset: frames for them may still be on their way, and are judged by who reset. The oldest
#: are forgotten first.
HTTP2_REMEMBERED_RESETS: Final = 4096
#: Ranges of stream numbers that the peer left out (RFC 9113 section 5.1.1), remembered to name the fault rightly.
HTTP2_SKIPPED_RANGES: Final = 16
#: Resets that come back by themselves (nghttp2's number): a client that only cancels watches lives for ever.
HTTP2_RESETS_PER_SECOND: Final = 33
#: Idle frames that come back by themselves: a connection that only hears keepalive pings lives for ever too.
HTTP2_IDLE_FRAMES_PER_SECOND: Final = 100
#: Streams a client opens before it has heard the server's limit (RFC 9113 section 6.5.2 says not to set it lower).
HTTP2_STREAMS_BEFORE_SETTINGS: Final = 100
#: Between "open no more streams" and the last word on which ones we take: one round trip, a slow one.
HTTP2_GOAWAY_GRACE_SECONDS: Final = 1.0
#: The greatest frame we send to a peer that takes more: above it streams wait for each other and nothing is won.
HTTP2_SENT_FRAME_BYTES: Final = 256 * KIB
#: Text sent to the peer in GOAWAY: enough to name the fault.
HTTP2_DEBUG_BYTES: Final = 256
#: A frame or header block that has begun must be complete within this time: the slow trickle.
HTTP2_FRAME_TIMEOUT_SECONDS: Final = 30.0

# --- HTTP/1.1 ------------------------------------------------------------------------------------------------

#: Request line and headers together.
HTTP1_HEADER_BYTES: Final = 64 * KIB
#: Pipelined requests waiting behind the one that is being answered.
HTTP1_PIPELINED_BYTES: Final = 256 * KIB
#: Request heads that a connection remembers, and the longest of them: a client says much the same each time, in some
#: 200 bytes, and one that does not must not fill the memory.
HTTP1_KNOWN_HEADS: Final = 32
HTTP1_KNOWN_HEAD_BYTES: Final = 4 * KIB
#: Bytes of a streamed body that the reader has not yet consumed: above it we ask not to be given more.
HTTP1_UNREAD_BYTES: Final = MIB

# --- Listeners -----------------------------------------------------------------------------------------------

#: Connections waiting in the kernel for our accept: a cluster's worth of clients that reconnect at once.
LISTEN_BACKLOG: Final = 1024
#: One read. Above 128 KiB the allocator maps and clears fresh pages for every call, which costs five times the call.
RECEIVE_BYTES: Final = 64 * KIB
#: After the last byte is sent we read on this long for the peer's end, so that a reset does not overtake our answer.
LINGER_SECONDS: Final = 1.0
#: Accepting pauses this long when the process or the machine has no descriptor left.
ACCEPT_PAUSE_SECONDS: Final = 0.1
#: Between two log lines about connections that were closed for want of a place: a flood of them must not fill the log.
REFUSAL_LOG_SECONDS: Final = 60.0
#: Connections taken from one listener before others get their turn.
ACCEPTS_PER_TURN: Final = 64
#: TCP keepalive probes of idle client connections (etcd's number): finds peers that are gone without a word.
TCP_KEEPALIVE_SECONDS: Final = 30
#: Certificate files are looked at this often at most, and only when somebody shakes hands.
TLS_RELOAD_SECONDS: Final = 1.0
#: From accept to the end of the TLS handshake, and from there to the first complete request: slow-loris bound.
HANDSHAKE_TIMEOUT_SECONDS: Final = 10.0
HEADER_TIMEOUT_SECONDS: Final = 30.0
#: HTTP/1.1 connections with nothing in flight. gRPC clients keep theirs open for ever, as with etcd.
HTTP1_IDLE_TIMEOUT_SECONDS: Final = 300.0
#: Descriptors kept back from client connections for files, peers and the store (etcd keeps 150).
RESERVED_DESCRIPTORS: Final = 150
#: Sniffing looks at this many bytes at most before it decides (an HTTP/2 preface has 24).
SNIFF_BYTES: Final = 24
#: Between GOAWAY and the end of a connection whose calls do not finish.
DRAIN_TIMEOUT_SECONDS: Final = 5.0
#: How often connections look at their timers. Coarse on purpose: no timer per read.
TICK_SECONDS: Final = 0.5
#: Connections without a deadline are looked at in every fourth tick, a quarter of them in each: 10,000 idle connections
#: then cost 2 % of a core, and timers of ten seconds and more do not notice.
TICKS_PER_ROUND: Final = 4

# --- gRPC keepalive (etcd's flags) ---------------------------------------------------------------------------

GRPC_KEEPALIVE_MIN_TIME_SECONDS: Final = 5.0
GRPC_KEEPALIVE_INTERVAL_SECONDS: Final = 7200.0
GRPC_KEEPALIVE_TIMEOUT_SECONDS: Final = 20.0
#: Pings too many that are forgiven before GOAWAY "too_many_pings" (grpc's rule).
GRPC_PING_STRIKES: Final = 2
#: grpc's idea of how often a client without open streams may ping, when it may not ping at all.
GRPC_KEEPALIVE_IDLE_SECONDS: Final = 7200.0

# --- Member --------------------------------------------------------------------------------------------------

#: Shorter WAL syncs are done on the loop; a disk with longer ones is synced in a thread (member/disk_door.py).
INLINE_SYNC_SECONDS: Final = 0.001
#: Proposals taken into one batch: bounds how long one apply pass holds the loop (about 10 ms).
PROPOSALS_PER_BATCH: Final = 512
#: The same by size: what one Raft message and one WAL write carry.
PROPOSED_BYTES_PER_BATCH: Final = 4 * MIB
#: Proposals waiting for the next batch; above it clients are told "too many requests".
WAITING_PROPOSALS: Final = 50_000
#: Linearizable reads that wait for the leader's word; more are refused ("too many requests").
WAITING_READS: Final = 50_000
#: etcd asks the leader again for a read index that has not come: heartbeats may have been lost.
READ_INDEX_RETRY_SECONDS: Final = 0.5
#: etcd's receive buffer: messages of peers that wait for the replica's next turn.
ARRIVED_MESSAGES: Final = 4096
#: Free space under which writes are refused, so that what is already in the log can still be flushed: three memtables
#: (24 MiB each), and a WAL segment.
FREE_SPACE_BYTES: Final = 160 * MIB
#: Between two tries to append to the log of a disk that is full.
DISK_FULL_RETRY_SECONDS: Final = 1.0
#: How often the file system is asked.
FREE_SPACE_CHECK_SECONDS: Final = 1.0
#: Of that many syncs on a slow disk one is tried inline, to see whether it is still slow.
SYNCS_BETWEEN_PROBES: Final = 32
#: Election timeouts without a leader after which streams that asked for one end (etcd's number).
LOOKS_WITHOUT_LEADER: Final = 3
#: Share of its quota at which a store is spoken of in the log, while there is time to act.
QUOTA_WARNING_SHARE: Final = 0.8
#: A step of a hash holds the loop no longer than this; rows are as many as fit, these at first and at most.
HASH_STEP_SECONDS: Final = 0.002
HASH_FIRST_ROWS: Final = 64
HASH_STEP_ROWS: Final = 2048
#: Hashes computed at once: each keeps a view of the store alive.
HASHES_AT_ONCE: Final = 2
#: Intervals whose number of keys is remembered, and pages that clients may go on from: some 200 bytes each.
REMEMBERED_COUNTS: Final = 1024
#: A count is brought up to date from what has changed since, when that is no more than this share of counting anew.
RECOUNT_SHARE: Final = 0.1
#: A range at an older revision is one of now with what has changed since undone, when for each of its keys no more than
#: so many changes (of any keys) are to be looked at: 0.4 us each. A key read from history costs 4 us more than now's.
UNDONE_SHARE: Final = 2
#: Answers to Range that are kept: bytes in all (a hundred thousand keys of 256 bytes, page by page), the largest one
#: (etcd's clients take 4 MiB by default), and how many.
REMEMBERED_ANSWERS_BYTES: Final = 32 * MIB
REMEMBERED_ANSWER_BYTES: Final = 4 * MIB
REMEMBERED_ANSWERS: Final = 4096
#: What an answer takes besides its bytes and its request's: objects, and its places in dictionaries and in the tree.
REMEMBERED_ANSWER_OVERHEAD_BYTES: Final = 1 * KIB
#: The longest request whose answer is kept, and how many are known that are not kept yet.
REMEMBERED_REQUEST_BYTES: Final = 1 * KIB
REMEMBERED_REQUESTS: Final = 4096
#: Who is always changed before it is asked for again is kept once in so many times.
REMEMBERED_PATIENCE: Final = 32
#: Keys in the first chunk of a RangeStream (etcd's number); the next ones are as many as fit.
RANGE_STREAM_FIRST_KEYS: Final = 10
#: And at most: at an old revision a key costs some 5 us of the loop.
RANGE_STREAM_KEYS: Final = 2000
#: Records read at a time by a range that wants keys only: their values need not all be in memory at once.
KEYS_ONLY_PIECE: Final = 512
#: Rows looked at in one step of a compaction at most; how many they really are goes by the time that steps take.
COMPACTION_STEP_ROWS: Final = 1000
#: A step of that long is aimed at: everybody waits while it runs.
COMPACTION_STEP_SECONDS: Final = 0.002
#: And bytes of their records, which are read for the key that is in them.
COMPACTION_STEP_BYTES: Final = MIB
#: Between two steps at least, and as a multiple of the step before: the rest of the loop's time is everybody else's.
COMPACTION_PAUSE_SECONDS: Final = 0.002
COMPACTION_PAUSE_STEPS: Final = 3
#: After a step that only took so long because others had the core, no longer than this: etcd rests as long.
COMPACTION_LONGEST_PAUSE_SECONDS: Final = 0.01
#: What a compaction remembers of the keys it has walked over.
COMPACTION_MEMORY_BYTES: Final = 8 * MIB
#: From so many neighbours on a range is deleted, not a row each: it costs a read as much as they cost the writing.
COMPACTION_RANGE_ROWS: Final = 128
#: So many ranges make the first read after a new one 25 us slower; then RocksDB's memory goes into a file. Far below
#: half of STORE_DELETION_WINDOW_ROWS, or each such file would be compacted at once, with all that it deletes from.
COMPACTION_RANGES_IN_MEMORY: Final = 250

# --- Configuration -------------------------------------------------------------------------------------------

#: A configuration file: far above any that people write, far below what would hurt.
CONFIG_FILE_CHARACTERS: Final = 1 * MIB
#: etcd's quota of the store when `--quota-backend-bytes` is 0.
QUOTA_BYTES: Final = 2048 * MIB
#: etcd's bounds of the election timeout: so many heartbeats at least, and 50 seconds at most.
ELECTION_HEARTBEATS: Final = 5
ELECTION_TIMEOUT_MILLISECONDS: Final = 50_000
#: bcrypt's own bounds of its cost.
BCRYPT_COSTS: Final = range(4, 32)

# --- Storage -------------------------------------------------------------------------------------------------

#: One of RocksDB's memtables; at most three exist while a flush lags. Larger means fewer flushes and more memory.
STORE_MEMTABLE_BYTES: Final = 24 * MIB
#: Blocks, filters and indexes of table files kept in memory. The operating system's page cache stands behind it.
STORE_CACHE_BYTES: Final = 16 * MIB
#: A point read reads one block; small blocks make it cheap, and the index is a few bytes per block.
STORE_BLOCK_BYTES: Final = 4 * KIB
#: From so many rows on a read with a limit is one page of a larger walk, which would push everything else out of the
#: cache; and what it reads of a file at a time.
STORE_PAGE_ROWS: Final = 128
STORE_READAHEAD_BYTES: Final = 64 * KIB
#: Table files held open, far below RESERVED_DESCRIPTORS.
STORE_OPEN_FILES: Final = 96
#: A table file in which half of this many neighbouring rows are deletions is compacted at once: scans stay short.
STORE_DELETION_WINDOW_ROWS: Final = 1024
#: Newest versions of hot keys kept as Python bytes (keys and values): a put and a get of such a key read no backend.
STORE_HEAD_CACHE_BYTES: Final = 8 * MIB
#: etcd's segment size of the write-ahead log: a new file is begun when this is passed.
WAL_SEGMENT_BYTES: Final = 64_000_000
#: Written to the log between two log snapshots at most, and kept of it in memory behind one for followers that lag:
#: one segment each, however large the entries are.
LOG_SNAPSHOT_BYTES: Final = 64_000_000
LOG_CATCH_UP_BYTES: Final = 64_000_000
#: etcd's `--max-wals`: released segments beyond this many are deleted.
WAL_SEGMENTS_KEPT: Final = 5

# --- Snapshots -----------------------------------------------------------------------------------------------

#: Branches above a leaf of a bbolt tree: with two children each that is more leaves than there can be pages.
BBOLT_TREE_DEPTH: Final = 64
#: Buckets within each other in a bbolt file; etcd's do not nest at all.
BBOLT_BUCKET_DEPTH: Final = 64
#: One message of a snapshot stream, as etcd has it.
SNAPSHOT_BLOB_BYTES: Final = 32 * KIB
#: Read from the snapshot's file at a time, in a thread.
SNAPSHOT_READ_BYTES: Final = 1 * MIB
#: Rows that the snapshot's thread takes before it lets the loop have the interpreter: about 1 ms.
SNAPSHOT_PIECE_ROWS: Final = 512
#: How long it lets go for; the loop gets at least a third of the time even when it is busy.
SNAPSHOT_PAUSE_SECONDS: Final = 0.0005
#: Rows of a restored store that are written as one batch.
RESTORE_BATCH_BYTES: Final = 4 * MIB
#: Between two lines of progress.
PROGRESS_SECONDS: Final = 2.0

# --- Leases --------------------------------------------------------------------------------------------------

#: An expired lease whose revocation was proposed is proposed again after this time, if it is still there (etcd: 3 s).
LEASE_REVOKE_RETRY_SECONDS: Final = 3.0
#: Between two looks at the heap of expiries (etcd: 500 ms).
LEASE_EXPIRY_INTERVAL_SECONDS: Final = 0.5
#: Revocations proposed and not yet applied: one pass of the store takes that many within some 5 ms, and the next
#: round begins when half of them are done.
LEASE_REVOKES_IN_FLIGHT: Final = 256
#: Leases put into the heap at a time after an election: about 5 ms.
LEASE_ENQUEUE_STEP: Final = 2000
#: Heap entries of leases that are gone, above the number of leases, before the heap is built anew.
LEASE_DEAD_ENTRIES: Final = 1000
#: etcd's interval and batch of `--experimental-enable-lease-checkpoint`.
LEASE_CHECKPOINT_INTERVAL_SECONDS: Final = 300.0
LEASE_CHECKPOINTS_PER_BATCH: Final = 1000

# --- Authentication ------------------------------------------------------------------------------------------

#: Threads that compute bcrypt, 50 ms of a core each time: logins must not starve the loop, whose core is one of few.
BCRYPT_THREADS: Final = 2
#: What bcrypt looks at of a password.
BCRYPT_PASSWORD_BYTES: Final = 72
#: Logins and new passwords that wait for a thread; further ones are refused. The last one waits some 6 seconds.
WAITING_PASSWORDS: Final = 256
#: Passwords found right that are remembered (as keyed hashes) until they change.
VERIFIED_PASSWORDS: Final = 4096
#: Simple tokens alive at once, about 250 bytes each; the one unused for longest goes first. etcd has no bound.
SIMPLE_TOKENS: Final = 100_000
#: JWTs whose signature has been checked, which costs from 10 to 500 microseconds.
VERIFIED_WEB_TOKENS: Final = 4096
#: A longer JWT is no token of ours: one carries a name and two numbers.
WEB_TOKEN_CHARACTERS: Final = 16 * KIB

# --- Watches -------------------------------------------------------------------------------------------------

#: Bytes unsent on one watch stream; above it its watchers get their events from the store when it has drained.
#: A few round trips' worth of a fast client, and small enough that a thousand stalled clients cost 256 MiB.
WATCH_STREAM_UNSENT_BYTES: Final = 256 * KIB
#: Bytes sent on one watch stream in one turn of the loop: what its client does not read shows only after the turn.
#: A thousand watchers of one key on one stream still get an event of 4 KiB at once.
WATCH_STREAM_TURN_BYTES: Final = 4 * MIB
#: A response that gathers events of several revisions grows no further than this; those of one revision stay together.
WATCH_RESPONSE_BYTES: Final = 512 * KIB
#: Watchers on one stream (etcd has no bound): each costs about a kilobyte.
WATCHERS_PER_STREAM: Final = 100_000
#: What one slice of catching up reads: revisions (rows of other keys count too), changes, bytes. About 1 ms.
WATCH_SLICE_REVISIONS: Final = 1000
WATCH_SLICE_CHANGES: Final = 128
WATCH_SLICE_BYTES: Final = 1 * MIB
#: Watchers moved from one place to another in one slice: about 2 ms.
WATCH_SLICE_WATCHERS: Final = 256

# --- Our own client ------------------------------------------------------------------------------------------

#: From connect to the server's first bytes: after it another endpoint is tried. Above one lost SYN (1 s) and its retry.
CONNECT_TIMEOUT_SECONDS: Final = 5.0
#: One message of an answer: as etcd's own client, all that gRPC's length field of a sane server can say.
CLIENT_MESSAGE_BYTES: Final = 2**31 - 1
#: A stream of ours waits while more than this is unsent.
CLIENT_UNSENT_BYTES: Final = 256 * KIB
#: etcd's default for `--quota-backend-bytes`.
DEFAULT_QUOTA_BYTES: Final = 2 * 1024 * MIB
#: Objects made before the collector of cycles looks at the youngest: the hot path makes no cycles, so it finds nothing.
COLLECTOR_THRESHOLD: Final = 50_000

# --- Proxy ---------------------------------------------------------------------------------------------------

#: Per direction of a forwarded call: above it the sender gets no more credit, so memory is bounded end to end.
PROXY_UNSENT_BYTES: Final = 256 * KIB
#: What a member may send on one forwarded stream before the client has taken it.
PROXY_STREAM_WINDOW_BYTES: Final = 1 * MIB
#: All streams to a member share one connection: its window must not let one slow client hold back the others, so it is
#: as wide as the protocol allows, and the bound is that of the streams.
PROXY_CONNECTION_WINDOW_BYTES: Final = 2**31 - 1
#: A request is kept for another endpoint until its answer begins, if it is no longer than the largest request of etcd.
PROXY_RETAINED_BYTES: Final = MAX_REQUEST_BYTES + GRPC_OVERHEAD_BYTES
#: Endpoints tried for one call.
PROXY_ATTEMPTS: Final = 3
#: Between two rounds of connecting to all endpoints: at least, when somebody waits, and at most.
PROXY_ROUND_PAUSE_SECONDS: Final = 0.1
PROXY_RETRY_SECONDS: Final = 1.0
#: The longest pause before an endpoint beside the one in use is tried again: when it is back it should soon be used.
PROXY_LONGEST_RETRY_SECONDS: Final = 15.0
#: Idle HTTP/1.1 connections kept per endpoint for plain requests.
PROXY_IDLE_HTTP_CONNECTIONS: Final = 16
#: Shapes of heads and trailers of answers that are kept, each with its header block.
PROXY_REMEMBERED_HEADS: Final = 512
#: Applied entries between two log snapshots (`--snapshot-count`). etcd 3.6 says 10,000, to hold less of the log in
#: memory. Ours costs a flush of the store, which it pays for by itself after about 30,000 small puts: at that rate it
#: is free, the log in memory takes 12 MB, and a start after a crash replays for half a second.
LOG_SNAPSHOT_ENTRIES: Final = 30_000

# --- Members among themselves ----------------------------------------------------------------------------------

#: Member ids whose varints are kept.
REMEMBERED_MEMBERS: Final = 256
#: Entries of one append that we send (etcd's maxSizePerMsg).
APPEND_BYTES: Final = 1 * MIB
#: etcd's bound of one message on a stream between members.
PEER_MESSAGE_BYTES: Final = 512 * MIB
#: Entries of one append on a stream: Raft sends 1 MiB at a time, of entries that take at least eight bytes here.
PEER_APPEND_ENTRIES: Final = 1 << 20
#: Message part of a snapshot between members (etcd 3.6.14): the JSON of the membership, not the database.
PEER_SNAPSHOT_MESSAGE_BYTES: Final = 64 * MIB
#: Head of a chunk on a stream between members: its size, and extensions that nobody is known to send.
PEER_CHUNK_HEAD_BYTES: Final = 256
#: etcd's bound of a pipeline body is its memory; this is one append of the largest kind with room to spare.
PEER_PIPELINE_BYTES: Final = 64 * MIB
#: What a peer that does not read may have waiting before messages to it are dropped: some appends of 1 MiB.
PEER_UNSENT_BYTES: Final = 16 * MIB
#: etcd's pipeline buffer: messages on their way by POST.
PEER_POSTS: Final = 64
#: Remotes: members that speak to us before we have heard of them, as many as can join at once.
PEER_REMOTES: Final = 64
#: etcd dials a stream again after this long.
PEER_REDIAL_SECONDS: Final = 0.1
#: etcd's dial timeout between members.
PEER_DIAL_SECONDS: Final = 1.0
#: etcd's deadline of every read and write between members.
PEER_READ_SECONDS: Final = 5.0
#: How much later the silence of a stream may be noticed, so that its deadline is not moved for every message.
PEER_READ_SLACK_SECONDS: Final = 0.5
#: A third of it: a stream that has nothing to say says so.
PEER_HEARTBEAT_SECONDS: Final = 5.0 / 3
#: etcd's probes of the way to a peer.
PEER_PROBE_SECONDS: Final = 4.0
#: Plain calls to a peer (members, version, leases).
PEER_CALL_SECONDS: Final = 5.0
#: Body of a plain call between members: a lease request, a hash request, and their answers.
PEER_BODY_BYTES: Final = 1 * MIB
#: What a peer may answer to a plain call: the keys of a lease are the most that is asked for.
PEER_ANSWER_BYTES: Final = 64 * MIB
#: A peer that cannot be reached is told of once in this time.
PEER_COMPLAINT_SECONDS: Final = 30.0
#: Connections for plain calls that are kept open to peers.
PEER_IDLE_CONNECTIONS: Final = 16
#: How long a peer may take to make a snapshot its own after all of it has been sent: 2 GiB at a slow disk.
PEER_SNAPSHOT_ANSWER_SECONDS: Final = 600.0
#: etcd's HealthInterval: a peer connected for so long is healthy enough for a change of members.
HEALTHY_AFTER_SECONDS: Final = 5.0
#: etcd's readyPercent: how much of the leader's log a learner has when it may become a voter.
LEARNER_READY_SHARE: Final = 0.9
#: What needs the leader asks again after so long while none is known.
LEADER_RETRY_SECONDS: Final = 0.05
#: etcd's monitorVersionInterval.
VERSION_CHECK_SECONDS: Final = 4.0
#: A member that was removed answers for so long, so that whoever asked for it hears of it.
REMOVED_STOP_SECONDS: Final = 1.0
#: How long a joining member asks each peer URL for the members (etcd: 10 s).
JOIN_CALL_SECONDS: Final = 10.0
#: etcd waits so long for peers before it hurries the first election.
TICK_ADVANCE_WAIT_SECONDS: Final = 5.0
#: etcd's wait for what was committed when a lease call came from another member.
WAIT_APPLIED_SECONDS: Final = 1.0
#: A discovery service that does not answer is asked again after ever longer pauses, up to this.
DISCOVERY_PAUSE_SECONDS: Final = 256.0
#: Members that a new cluster may be made of: more voters than this only make it slower.
DISCOVERY_MEMBERS: Final = 64
#: How long an endpoint may take to name the members, or to say how it is.
PROXY_LOOK_SECONDS: Final = 3.0
#: Between two questions to the endpoint in use whether it still serves.
PROXY_HEALTH_SECONDS: Final = 2.0
#: Users in a proxy's credentials file: each may have a token and a login under way.
PROXY_USERS: Final = 10_000
#: How long a token that the proxy got for a user is used: less than the 300 s that members give one by default.
PROXY_TOKEN_SECONDS: Final = 240.0
#: How long it is remembered that a login failed, or that members ask nobody who they are.
PROXY_LOGIN_FAILURE_SECONDS: Final = 1.0
#: One login, with the wait for an endpoint: a member checks a password in some 60 ms, many at once in a queue.
PROXY_LOGIN_SECONDS: Final = 10.0
#: Between two looks whether the credentials file has changed.
PROXY_USERS_LOOK_SECONDS: Final = 1.0
#: Watch requests of clients that wait to go out on a shared stream.
PROXY_WATCH_REQUESTS: Final = 1024
#: Between two questions of progress while somebody waits for an answer: members drop those that come too early.
PROXY_ASK_AGAIN_SECONDS: Final = 1.0
#: Answers that a proxy keeps: each has a watch at the member. And the largest that is worth keeping.
PROXY_CACHED_ANSWERS: Final = 10_000
PROXY_CACHED_ANSWER_BYTES: Final = 1 * MIB
#: How long an answer is kept that no event ends; a user's for less, since what they may read can change without one.
PROXY_CACHE_SECONDS: Final = 300.0
PROXY_CACHE_USER_SECONDS: Final = 5.0
#: Callers whose answers are kept: each has a watch stream at the member.
PROXY_CACHE_LISTENERS: Final = 256
#: Descriptors of one relayed connection of the TCP gateway: the client's and the remote's.
GATEWAY_DESCRIPTORS_PER_RELAY: Final = 2
#: `--retry-delay` may be no shorter: below it a member that is down would be dialled without a pause.
GATEWAY_RETRY_DELAY_SECONDS: Final = 0.1
#: Of a path, as much as the access log prints: etcd's are shorter, and a client may send long ones without end.
ACCESS_LOG_PATH_BYTES: Final = 256
#: A proxy that could not announce itself tries again after this (etcd: one try a second), and after ever longer pauses
#: up to the second number: a cluster that refuses it, for want of rights, is not to be filled with tries.
PROXY_REGISTER_PAUSE_SECONDS: Final = 1.0
PROXY_REGISTER_PAUSE_LONGEST_SECONDS: Final = 10.0
#: The value of an announcement: an address and a name. Longer ones are none.
PROXY_ANNOUNCEMENT_BYTES: Final = 2 * KIB
#: Announcements that count under one prefix: MemberList stays below what clients take (4 MiB), whoever writes there.
PROXY_ANNOUNCEMENTS: Final = 1024
#: Between two looks of the autopilot.
AUTOPILOT_SECONDS: Final = 1.0
