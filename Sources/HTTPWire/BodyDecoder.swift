import NIOCore
import NIOHTTP1

/// What stands behind a head.
@usableFromInline package enum BodyPart: Sendable {
    case bytes(ByteBuffer)
    /// With trailers, or without.
    case end(HTTPHeaders?)
}

/// Reads a body, and its trailers. Requests and responses share it.
package struct BodyDecoder: Sendable {
    private enum State {
        case counted(Int)
        case chunks(ChunkDecoder)
        case trailers(place: Int)
        case untilClose
    }

    private var state = State.counted(0)
    private var fields: FieldLines

    package init(maxTrailerBytes: Int, maxFields: Int) {
        fields = FieldLines(maxBytes: maxTrailerBytes, maxFields: maxFields)
    }

    package mutating func begin(length: Int) { state = .counted(length) }

    package mutating func beginChunked() { state = .chunks(ChunkDecoder()) }

    package mutating func beginUntilClose() { state = .untilClose }

    package var endsWithConnection: Bool { if case .untilClose = state { true } else { false } }

    /// - Parameter bytes: what has come behind what was read; is read from.
    /// - Returns: nil where more has to come.
    package mutating func next(_ bytes: inout ByteBuffer) throws(HTTPMessageError) -> BodyPart? {
        while true {
            switch state {
            case .counted(0): return .end(nil)
            case .counted(let left):
                guard bytes.readableBytes > 0 else { return nil }
                let taken = min(left, bytes.readableBytes)
                state = .counted(left - taken)
                return .bytes(bytes.takeSlice(taken))
            case .chunks(var chunks):
                guard bytes.readableBytes > 0 else { return nil }
                let step = try bytes.withUnsafeReadableBytes { bytes in
                    Result { () throws(HTTPMessageError) in try chunks.next(bytes) }
                }.get()
                state = .chunks(chunks)
                switch step {
                case .more(let skip):
                    bytes.moveReaderIndex(forwardBy: skip)
                    return nil
                case .data(let skip, let count):
                    bytes.moveReaderIndex(forwardBy: skip)
                    return .bytes(bytes.takeSlice(count))
                case .trailers(let skip):
                    bytes.moveReaderIndex(forwardBy: skip)
                    fields.restart(at: 0)
                    state = .trailers(place: 0)
                }
            case .trailers(let start):
                guard let (end, trailers) = try readTrailers(bytes, start) else { return nil }
                bytes.moveReaderIndex(forwardBy: end)
                state = .counted(0)
                return .end(trailers)
            case .untilClose:
                guard bytes.readableBytes > 0 else { return nil }
                return .bytes(bytes.takeSlice(bytes.readableBytes))
            }
        }
    }

    /// A trailer that would frame the message, had it stood in the head, is refused.
    private mutating func readTrailers(
        _ buffer: ByteBuffer, _ start: Int
    ) throws(HTTPMessageError) -> (end: Int, HTTPHeaders?)? {
        try buffer.withUnsafeReadableBytes { bytes in
            Result { () throws(HTTPMessageError) -> (end: Int, HTTPHeaders?)? in
                var place = start
                guard try fields.read(bytes, &place) else {
                    state = .trailers(place: place)
                    return nil
                }
                guard !fields.lines.isEmpty else { return (place, nil) }
                let framing = try fields.framing(bytes)
                guard framing.length == nil, !framing.isChunked else {
                    throw .malformed("a trailer determines the message's length")
                }
                return (place, fields.headers(bytes))
            }
        }.get()
    }
}

extension FieldLines {
    /// What the fields say about the message.
    package func framing(_ bytes: UnsafeRawBufferPointer) throws(HTTPMessageError) -> MessageFraming {
        var framing = MessageFraming()
        for line in lines {
            try framing.note(
                UnsafeRawBufferPointer(rebasing: bytes[line.name]), UnsafeRawBufferPointer(rebasing: bytes[line.value]))
        }
        return framing
    }

    /// The fields as texts (`FieldText`).
    package func headers(_ bytes: UnsafeRawBufferPointer) -> HTTPHeaders { HTTPHeaders(lines, of: bytes) }
}

extension ByteBuffer {
    /// The next bytes, of which there are so many. What is read to its end is let go, so that its storage can be used again.
    package mutating func takeSlice(_ count: Int) -> ByteBuffer {
        guard count < readableBytes else {
            defer { self = ByteBuffer() }
            return self
        }
        return readSlice(length: count)!
    }

    /// Puts bytes behind those that have not been read.
    package mutating func append(_ more: inout ByteBuffer) {
        if readableBytes == 0 {
            self = more
        } else {
            writeBuffer(&more)
        }
    }

    /// Lets go of storage that is much larger than what has not been read: a peer that sends half a head may take its time.
    package mutating func shrinkIfWasteful() {
        if readableBytes == 0 {
            self = ByteBuffer()
        } else if storageCapacity > 4 * readableBytes + 1024 {
            self = ByteBuffer(bytes: readableBytesView)
        }
    }
}
