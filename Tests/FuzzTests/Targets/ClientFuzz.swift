import System

@testable import HTTPClient

/// What a server answers to a client of ours.
enum ClientFuzz {
    static func answer(_ bytes: UnsafeRawBufferPointer) {
        let limit = 1 << 12
        var reader = ResponseHeadReader(limit: limit)
        var taken = 0
        // libcurl hands over lines with their breaks.
        for line in bytes.split(separator: 10, omittingEmptySubsequences: false) {
            do {
                let whole = Array(line) + [10]
                let wasComplete = reader.isComplete
                let head = try whole.withUnsafeBytes { try reader.take($0) }
                taken += whole.count
                promise(taken <= limit, "a head over its limit")
                guard let head else { continue }
                promise(!wasComplete, "two heads of one answer")
                promise((200...599).contains(head.status), "a status that ends nothing")
                promise((head.retryAfter ?? 0) >= 0, "a time before now")
                _ = head.contentLength
            } catch { break }
        }
        lines(Array(bytes))
    }

    /// However they are cut, the same lines come out.
    private static func lines(_ bytes: [UInt8]) {
        func split(by size: Int) -> [[UInt8]]? {
            var splitter = LineSplitter(maxLine: 64), lines: [[UInt8]] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                guard let more = try? splitter.take(bytes[start..<min(start + size, bytes.count)]) else { return nil }
                lines += more
            }
            return lines + [splitter.takeRest()]
        }
        promise(split(by: 1) == split(by: 7), "lines depend on how they arrive")
    }
}
