import CLinux
import Glibc
import NetworkPolicy

/// One direction of a flow: moves bytes from one socket to the other, with back-pressure.
struct RelayDirection {
    /// How incoming bytes are treated.
    enum Way {
        /// Passed on without being read.
        case spliced
        /// So many bytes are passed on; what follows is not part of the request.
        case counted(UInt64)
        case chunked(ChunkedBody)
        /// Nothing is read until the other direction decides.
        case held
        /// The client's second ClientHello, which must state the same name.
        case secondHello(SecondHello, DomainName)
        /// The server's first bytes are examined while they pass.
        case greeting([UInt8], FlowProtocol)
        /// Read and discarded: a further request on a connection that is for one.
        case discarded
    }

    /// The result of examining a server's first bytes.
    enum Greeting {
        case goesOn
        case asksForHello
        case stays
    }

    var way: Way
    /// Bytes to send first.
    var outgoing: [UInt8] = []
    private var pipe: Pipe?
    private var inPipe = 0
    /// Whether the source has ended.
    private(set) var isSourceEnded = false
    /// Whether the end was passed on to the destination.
    private(set) var isEnded = false
    /// The result of the greeting, for the other direction.
    var heard: Greeting?

    private static let turns = 4
    private static let chunk = 16 << 10

    init(_ way: Way) { self.way = way }

    var wantsToWrite: Bool { !outgoing.isEmpty || inPipe > 0 }
    var wantsToRead: Bool {
        if case .held = way { return false }
        return !isSourceEnded && !wantsToWrite
    }
    /// Whether nothing more from the source will be passed on.
    var isOver: Bool {
        switch way {
        case .discarded, .counted(0): !wantsToWrite
        default: isEnded
        }
    }

    /// Moves as much as possible now.
    /// - Throws: `FlowRefusal` if the source sends something unacceptable.
    /// - Returns: false if a socket failed.
    mutating func pump(from source: CInt, to destination: CInt, _ pipes: PipePool) throws(FlowRefusal) -> Bool {
        defer { giveBack(to: pipes) }
        for _ in 0..<Self.turns {
            guard flush(to: destination) else { return false }
            guard wantsToRead else { break }
            let count = try read(source, pipes)
            if count == 0 {
                isSourceEnded = true
            } else if count < 0 {
                guard count == -Int(EAGAIN) else { return false }
                break
            }
        }
        guard flush(to: destination) else { return false }
        if isSourceEnded, !wantsToWrite, !isEnded {
            shutdown(destination, Int32(SHUT_WR))
            isEnded = true
        }
        return true
    }

    /// Releases the pipe of a flow that ends. Bytes in it are lost.
    mutating func close() {
        pipe = nil
        inPipe = 0
    }

    private mutating func giveBack(to pipes: PipePool) {
        guard inPipe == 0, let empty = pipe else { return }
        pipes.give(empty)
        pipe = nil
    }

    /// Returns false if the destination failed; what it does not accept yet is kept.
    private mutating func flush(to destination: CInt) -> Bool {
        while !outgoing.isEmpty {
            let count = send(destination, outgoing, outgoing.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
            guard count > 0 else { return errno == EAGAIN || errno == EINTR }
            outgoing.removeFirst(count)
        }
        while inPipe > 0, let pipe {
            let count = linux_splice(pipe.output, destination, inPipe)
            guard count > 0 else { return count == -Int(EAGAIN) }
            inPipe -= count
        }
        return true
    }

    /// Returns the count, 0 at the end, or -errno.
    private mutating func read(_ source: CInt, _ pipes: PipePool) throws(FlowRefusal) -> Int {
        switch way {
        case .spliced: return splice(source, pipes, most: PipePool.capacity)
        case .counted(0):
            way = .discarded
            return try copy(source)
        case .counted(let left):
            let count = splice(source, pipes, most: Int(min(left, UInt64(PipePool.capacity))))
            if count > 0 { way = .counted(left - UInt64(count)) }
            return count
        default: return try copy(source)
        }
    }

    private mutating func splice(_ source: CInt, _ pipes: PipePool, most: Int) -> Int {
        if pipe == nil { pipe = pipes.take() }
        guard let pipe else {
            // No descriptors for a pipe: copy instead, which is slower.
            return Self.receive(source, most: min(most, Self.chunk)) { outgoing += $0 }
        }
        let count = linux_splice(source, pipe.input, most)
        if count > 0 { inPipe += count }
        return count
    }

    private mutating func copy(_ source: CInt) throws(FlowRefusal) -> Int {
        var bytes: [UInt8] = []
        let count = Self.receive(source, most: Self.chunk) { bytes = Array($0) }
        if count > 0 { try take(bytes) }
        return count
    }

    private mutating func take(_ bytes: [UInt8]) throws(FlowRefusal) {
        switch way {
        case .spliced: outgoing += bytes
        case .counted, .held, .discarded: return
        case .chunked(var body):
            outgoing += bytes.prefix(try body.consume(bytes[...]))
            way = body.isAtEnd ? .discarded : .chunked(body)
        case .secondHello(var hello, let name):
            if let second = try hello.append(bytes) {
                guard second == name else { throw .malformed("the second ClientHello names another server") }
                outgoing += hello.bytes
                way = .spliced
            } else {
                way = .secondHello(hello, name)
            }
        case .greeting(let before, let kind):
            outgoing += bytes
            let seen = before + bytes.prefix(ServerReply.helloBytes)
            switch kind {
            case .tls: heard = try ServerReply.asksForHello(seen).map { $0 ? .asksForHello : .goesOn }
            case .http: heard = ServerReply.switchesProtocols(seen).map { $0 ? .goesOn : .stays }
            }
            way = heard == nil ? .greeting(seen, kind) : .spliced
        }
    }

    private static func receive(_ source: CInt, most: Int, _ take: (UnsafeRawBufferPointer) -> Void) -> Int {
        withUnsafeTemporaryAllocation(byteCount: most, alignment: 1) { buffer in
            let count = recv(source, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
            guard count >= 0 else { return errno == EINTR ? -Int(EAGAIN) : -Int(errno) }
            if count > 0 { take(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
            return count
        }
    }
}
