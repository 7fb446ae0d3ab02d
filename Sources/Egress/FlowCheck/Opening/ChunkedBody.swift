import HTTPWire

/// Finds the end of a chunked body as it passes, its trailers included: what a server could read in another way is refused.
struct ChunkedBody: Sendable {
    /// Bytes of the trailers.
    static let maxTrailer = 4 << 10

    private var chunks = ChunkDecoder()
    private var fields = FieldLines(maxBytes: maxTrailer, maxFields: OpeningRequestReader.maxFields)
    /// Kept until they have come whole; nil before they begin.
    private var trailers: [UInt8]?
    private var place = 0

    private(set) var isAtEnd = false

    /// - Returns: how many of the bytes belong to the body.
    mutating func consume(_ bytes: ArraySlice<UInt8>) throws(FlowRefusal) -> Int {
        var rest = bytes
        while !rest.isEmpty, !isAtEnd {
            let taken: Int
            do throws(HTTPMessageError) { taken = try step(rest) } catch { throw FlowRefusal(error) }
            rest = rest.dropFirst(taken)
        }
        return bytes.count - rest.count
    }

    private mutating func step(_ bytes: ArraySlice<UInt8>) throws(HTTPMessageError) -> Int {
        guard let kept = trailers else {
            let step = try bytes.withUnsafeBytes { bytes in
                Result { () throws(HTTPMessageError) in try chunks.next(bytes) }
            }.get()
            switch step {
            case .more(let skip): return skip
            case .data(let skip, let count): return skip + count
            case .trailers(let skip):
                trailers = []
                return skip
            }
        }
        // What is beyond the limit is not looked at.
        let all = kept + bytes.prefix(Self.maxTrailer + 1)
        isAtEnd = try all.withUnsafeBytes { all in
            Result { () throws(HTTPMessageError) in
                guard try fields.read(all, &place) else { return false }
                // One that would frame the message, had it stood in the head.
                let framing = try fields.framing(all)
                guard framing.length == nil, !framing.isChunked else {
                    throw .malformed("a trailer says where the message ends")
                }
                return true
            }
        }.get()
        trailers = all
        return isAtEnd ? place - kept.count : bytes.count
    }
}
