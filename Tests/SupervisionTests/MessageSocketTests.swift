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

    @Test func `Of several descriptors in one message none is kept`() throws {
        let (near, far) = try MessageSocket.pair()
        defer { near.close(); far.close() }
        var ends: [CInt] = [-1, -1]
        #expect(pipe(&ends) == 0)
        // As sendmsg(2) has it: SCM_RIGHTS with two numbers.
        var control: [UInt64] = [
            UInt64(MemoryLayout<cmsghdr>.size + 8), UInt64(SOL_SOCKET) | UInt64(SCM_RIGHTS) << 32, 0,
        ]
        control.withUnsafeMutableBytes { bytes in
            bytes.storeBytes(of: ends[1], toByteOffset: 16, as: CInt.self)
            bytes.storeBytes(of: ends[1], toByteOffset: 20, as: CInt.self)
            var byte: UInt8 = 1
            withUnsafeMutablePointer(to: &byte) { byte in
                var part = iovec(iov_base: byte, iov_len: 1)
                withUnsafeMutablePointer(to: &part) { part in
                    var message = msghdr()
                    (message.msg_iov, message.msg_iovlen) = (part, 1)
                    (message.msg_control, message.msg_controllen) = (bytes.baseAddress, 24)
                    #expect(sendmsg(near.descriptor, &message, 0) == 1)
                }
            }
        }
        #expect(throws: SupervisionError.self) { try far.receive() }
        close(ends[1])
        var byte: UInt8 = 0
        #expect(read(ends[0], &byte, 1) == 0, "nobody can write any more")
        close(ends[0])
    }

    @Test func `A socket that is closed is used by nobody, whoever has its number now`() throws {
        let (near, far) = try MessageSocket.pair()
        defer { far.close() }
        let shared = SharedMessageSocket(near)
        shared.close()
        // The lowest number that is free.
        let (next, other) = try MessageSocket.pair()
        defer { next.close(); other.close() }
        #expect(throws: SupervisionError.self) { try shared.send([1]) }
        shared.shutdown()
        shared.close()
        try next.send([2])
        #expect(try other.receive()?.bytes == [2])
    }

    @Test func `There is room for as many messages as were asked for`() throws {
        let (near, far) = try MessageSocket.pair()
        defer { near.close(); far.close() }
        let null = open("/dev/null", O_RDONLY)
        defer { close(null) }
        near.reserve(messages: 1000)
        for number in 0..<1000 {
            try near.send([UInt8(number % 250)] + [UInt8](repeating: 7, count: 200), descriptor: null)
        }
    }

    @Test func `A socket that no longer listens, or to a shorter queue, is known`() throws {
        let tcp = try ListeningSocket.tcp(host: "127.0.0.1", port: 0)
        let path = "/tmp/sallyport-listening-\(getpid())"
        let local = try ListeningSocket.unix(path: path, group: nil)
        defer {
            unlink(path)
            for socket in [tcp, local] { close(socket) }
        }
        for socket in [tcp, local] {
            #expect(ListeningSocket.isListening(socket))
            #expect(shutdown(socket, CInt(SHUT_RDWR)) == 0)
            #expect(!ListeningSocket.isListening(socket))
        }
        #expect(!ListeningSocket.isListening(-1))
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
