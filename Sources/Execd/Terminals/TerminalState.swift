import NIOCore
import System

/// Why a client is not let in.
enum TerminalRefusal: Error, Hashable, Sendable {
    /// Another client has the terminal.
    case held
    /// There is no shell to watch.
    case notRunning
    case deleted
}

/// How a connection to a terminal ends.
enum TerminalEnd: Hashable, Sendable {
    case exited(ProcessExit)
    case takenOver
    /// The shell reads no more input, or far too little.
    case inputFailed(String)
    /// A viewer that goes on typing.
    case readOnly
    /// Nobody serves the connection any more.
    case gone
}

/// The next thing that a client is sent.
enum TerminalDelivery: Hashable, Sendable {
    case bytes(ByteBuffer)
    case connected(TerminalMode, TerminalRole)
    case notice(TerminalNotice)
    case end(TerminalEnd)
}

/// One terminal's output, clients and shell as a value, without I/O and clock. A terminal outlives its shells: the next client
/// after the end of one starts another.
struct TerminalState {
    enum Phase: Hashable {
        case idle, starting, running
    }

    typealias ClientID = UInt64

    struct Client {
        let role: TerminalRole
        /// The offset of the next byte for it.
        var position: Int
        /// Output before this is replay: it came before the client did.
        let joined: Int
        var isGreeted = false
        /// What ends its connection, and the offset up to which it gets output first.
        var ending: (end: TerminalEnd, offset: Int)?
        /// Answers that wait for it, in front of output.
        var notices: [TerminalNotice] = []
        /// Messages that a viewer may not send.
        var refused = 0
    }

    private(set) var ring = OutputRing()
    private(set) var phase = Phase.idle
    /// Of the latest shell.
    private(set) var mode = TerminalMode.pty
    private(set) var clients: [ClientID: Client] = [:]
    private(set) var holder: ClientID?
    private var lastClient: ClientID = 0
    /// How many shells have been started, and how many of them have ended.
    private(set) var launches = 0
    private var ends = 0
    private(set) var lastLaunchFailed = false
    private(set) var isDeleted = false

    // MARK: Clients

    /// Lets a client in. What has been put out so far is its replay.
    /// - Returns: the client, and the holder whose place it takes.
    mutating func attach(_ query: TerminalQuery) throws(TerminalRefusal) -> (client: ClientID, evicted: ClientID?) {
        try check(query)
        let evicted = query.role == .holder ? holder : nil
        if let evicted { clients[evicted]?.ending = (.takenOver, 0) }
        lastClient += 1
        clients[lastClient] = Client(role: query.role, position: min(query.since, ring.end), joined: ring.end)
        if query.role == .holder { holder = lastClient }
        return (lastClient, evicted)
    }

    /// Whether a client would be let in now.
    func check(_ query: TerminalQuery) throws(TerminalRefusal) {
        guard !isDeleted else { throw .deleted }
        switch query.role {
        case .viewer: guard phase == .running else { throw .notRunning }
        case .holder: guard holder == nil || query.takesOver else { throw .held }
        }
    }

    mutating func detach(_ id: ClientID) {
        clients[id] = nil
        if holder == id { holder = nil }
    }

    /// How many answers wait for a client. One that asks on and reads nothing misses the others.
    static let maxNotices = 16
    /// How often a viewer may try to type.
    static let maxRefused = 5

    mutating func tell(_ id: ClientID, _ notice: TerminalNotice) {
        guard let count = clients[id]?.notices.count, count < Self.maxNotices else { return }
        clients[id]?.notices.append(notice)
    }

    /// Whether a client may type, signal and resize. A viewer is told that it may not, and closed when it goes on.
    mutating func mayType(_ id: ClientID) -> Bool {
        guard id != holder else { return true }
        guard var client = clients[id], client.role == .viewer else { return false }
        client.refused += 1
        if client.refused > Self.maxRefused { client.ending = client.ending ?? (.readOnly, 0) }
        clients[id] = client
        if client.refused <= Self.maxRefused { tell(id, .error("READ_ONLY", "viewers only watch")) }
        return false
    }

    /// The shell does not take what the holder types.
    mutating func failInput(_ reason: String) {
        guard let holder, clients[holder]?.ending == nil else { return }
        clients[holder]?.ending = (.inputFailed(reason), 0)
        self.holder = nil
    }

    /// How far the holder is behind; 0 without one.
    var behind: Int { holder.flatMap { clients[$0] }.map { ring.end - $0.position } ?? 0 }

    var holderPosition: Int { holder.flatMap { clients[$0]?.position } ?? 0 }

    // MARK: Delivery

    /// The next thing for a client; nil while there is nothing.
    mutating func next(for id: ClientID) -> TerminalDelivery? {
        guard var client = clients[id] else { return .end(.gone) }
        defer { clients[id] = client }
        if case .takenOver? = client.ending?.end { return .end(.takenOver) }
        if client.isGreeted, !client.notices.isEmpty { return .notice(client.notices.removeFirst()) }
        switch client.ending?.end {
        case .inputFailed?, .readOnly?: return .end(client.ending!.end)
        case .exited?, .takenOver?, .gone?, nil: break
        }
        let end = client.ending?.offset ?? ring.end
        if !client.isGreeted {
            if let replay = replay(&client) { return .bytes(replay) }
            client.isGreeted = true
            return .connected(mode, client.role)
        }
        // What the ring has dropped is lost: the next frame says where it goes on.
        let isGap = client.position < ring.start
        client.position = max(client.position, min(ring.start, end))
        guard client.position < end else { return client.ending.map { .end($0.end) } }
        let run = ring.run(at: client.position)
        let range = client.position..<min(client.position + TerminalFrame.maxPayload, run.end, end)
        client.position = range.upperBound
        return .bytes(
            isGap || client.role == .viewer
                ? TerminalFrame.replay(ring, range) : TerminalFrame.live(ring, range, of: run.stream))
    }

    /// A holder gets it in one frame (EXECD contract), a viewer, of which there may be many, in small ones.
    private func replay(_ client: inout Client) -> ByteBuffer? {
        client.position = max(client.position, min(ring.start, client.joined))
        guard client.position < client.joined else { return nil }
        let most = client.role == .holder ? OutputRing.maxBytes : TerminalFrame.maxPayload
        let range = client.position..<min(client.position + most, client.joined)
        client.position = range.upperBound
        return TerminalFrame.replay(ring, range)
    }

    mutating func append(_ bytes: [UInt8], of stream: OutputStream, grant: (Int) -> Bool) {
        bytes.withUnsafeBytes { ring.append($0, of: stream, grant: grant) }
    }

    // MARK: Shells

    /// - Returns: the number of the launch; nil if there is nothing to start.
    mutating func launch(for id: ClientID, _ mode: TerminalMode) -> Int? {
        // Who came before the end of a shell gets that end, and no other shell.
        guard phase == .idle, !isDeleted, let client = clients[id], client.ending == nil else { return nil }
        phase = .starting
        self.mode = mode
        launches += 1
        return launches
    }

    /// - Returns: whether it still runs.
    mutating func launched(_ number: Int) -> Bool {
        lastLaunchFailed = false
        guard phase == .starting, ends < number else { return false }
        phase = .running
        return true
    }

    mutating func failedToLaunch() {
        lastLaunchFailed = true
        phase = .idle
        ends = launches
        // It has no shell to hold.
        holder = nil
    }

    /// The shell of a launch has ended, and all of its output has been appended.
    mutating func ended(_ exit: ProcessExit) {
        ends = launches
        phase = .idle
        holder = nil
        for id in clients.keys where clients[id]?.ending == nil { clients[id]?.ending = (.exited(exit), ring.end) }
    }

    /// Later clients are refused, and no shell is started any more.
    mutating func delete() { isDeleted = true }
}
