import Testing

@testable import Supervision

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct MessageSocketTests {
    @Test func `A message comes as it was sent, with its descriptor under another number`() throws {
        let (near, far) = try MessageSocket.pair()
        defer { near.close(); far.close() }
        var ends: [CInt] = [-1, -1]
        #expect(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        try near.send([1, 2, 3], descriptor: ends[1])
        try near.send([4])
        let first = try #require(try far.receive())
        let sent = try #require(first.descriptor)
        #expect(first.bytes == [1, 2, 3] && sent != ends[1])
        #expect(fcntl(sent, F_GETFD) & FD_CLOEXEC != 0)
        var byte: UInt8 = 7
        #expect(write(sent, &byte, 1) == 1)
        close(sent)
        byte = 0
        #expect(read(ends[0], &byte, 1) == 1 && byte == 7)
        let second = try #require(try far.receive())
        #expect(second.bytes == [4] && second.descriptor == nil)
    }

    @Test func `What is longer than a message may be is refused, and its descriptor is closed`() throws {
        let (near, far) = try MessageSocket.pair()
        defer { near.close(); far.close() }
        var ends: [CInt] = [-1, -1]
        #expect(pipe(&ends) == 0)
        try near.send([UInt8](repeating: 1, count: MessageSocket.maxBytes + 1), descriptor: ends[1])
        #expect(throws: SupervisionError.self) { try far.receive() }
        close(ends[1])
        // The last end that writes is closed: the pipe is at its end.
        var byte: UInt8 = 0
        #expect(read(ends[0], &byte, 1) == 0)
        close(ends[0])
    }

    @Test func `Who does not read is not waited for`() throws {
        let (near, far) = try MessageSocket.pair()
        defer { near.close(); far.close() }
        #expect(throws: SupervisionError.self) {
            while true { try near.send([UInt8](repeating: 0, count: MessageSocket.maxBytes)) }
        }
    }

    @Test func `The end of the other end is the end`() throws {
        let (near, far) = try MessageSocket.pair()
        near.close()
        #expect(try far.receive() == nil)
        far.close()
    }
}

extension MessageSocket.Message: Equatable {
    public static func == (left: Self, right: Self) -> Bool {
        left.bytes == right.bytes && left.descriptor == right.descriptor
    }
}

@Suite struct ProcessBoardTests {
    @Test func `What the supervisor writes others read, and cannot write`() throws {
        let own = try ProcessBoard()
        let other = try ProcessBoard(descriptor: own.descriptor)
        #expect(other.state(of: 2) == .absent)
        own.set(2, .ready)
        own.countRestart(of: 2)
        other.set(2, .down)
        #expect(other.state(of: 2) == .ready && other.restarts(of: 2) == 1 && other.state(of: 1) == .absent)
        let page = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, own.descriptor, 0)
        #expect(page == MAP_FAILED && errno == EPERM)
        var byte: UInt8 = 1
        #expect(pwrite(own.descriptor, &byte, 1, 0) == -1)
    }
}
