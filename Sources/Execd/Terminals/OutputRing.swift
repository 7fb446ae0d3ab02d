/// The last bytes of a terminal's output. Each byte has an offset, counted from the first one ever, so that a client that
/// comes back can ask for what it has missed (docs/execd.md#terminals).
///
/// Memory grows with what is kept, up to `maxBytes`, as far as it is granted. Where it is not, less is kept.
struct OutputRing {
    static let maxBytes = 1 << 20
    /// What all terminals together keep.
    static let maxBytesOfAll = 8 << 20
    /// What it takes without asking.
    static let firstBytes = 4096
    /// How many changes between standard output and standard error are known. Where they stand is forgotten before the
    /// bytes are, since a program may change at each byte.
    static let maxRuns = 1024

    /// Bytes of one stream, up to the next run.
    private struct Run {
        var start: Int
        var stream: OutputStream
    }

    /// A power of two; the byte at an offset stands at its remainder.
    private var storage: [UInt8] = []
    private var runs: [Run] = []
    /// The offset behind the last byte: how many there have been.
    private(set) var end = 0
    /// The offset of the oldest byte that is kept.
    private(set) var start = 0

    /// Bytes of memory beyond `firstBytes`.
    var granted: Int { max(0, storage.count - Self.firstBytes) }
    /// How many bytes it keeps when it is full, as far as is known.
    var capacity: Int { isRefused ? storage.count : Self.maxBytes }
    private var isRefused = false

    /// - Parameter grant: asked for more memory, in bytes.
    mutating func append(_ bytes: UnsafeRawBufferPointer, of stream: OutputStream, grant: (Int) -> Bool) {
        guard !bytes.isEmpty else { return }
        grow(toKeep: end - start + bytes.count, grant)
        if runs.last?.stream != stream { addRun(stream) }
        let kept = bytes.suffix(storage.count)
        end += bytes.count
        copy(UnsafeRawBufferPointer(rebasing: kept), to: end - kept.count)
        start = max(start, end - storage.count)
        dropRuns()
    }

    private mutating func grow(toKeep count: Int, _ grant: (Int) -> Bool) {
        let wanted = min(count, Self.maxBytes)
        var size = storage.count
        while size < wanted {
            let next = max(size * 2, Self.firstBytes)
            isRefused = next > Self.firstBytes && !grant(next - size)
            guard !isRefused else { break }
            size = next
        }
        guard size > storage.count else { return }
        let old = self
        storage = [UInt8](repeating: 0, count: size)
        old.withBytes(start..<end) { copy($1, to: $0) }
    }

    private mutating func copy(_ bytes: UnsafeRawBufferPointer, to offset: Int) {
        let place = offset & (storage.count - 1), first = min(bytes.count, storage.count - place)
        storage.withUnsafeMutableBytes { storage in
            UnsafeMutableRawBufferPointer(rebasing: storage[place...]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: bytes[..<first]))
            storage.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[first...]))
        }
    }

    /// Calls `body` with an offset and the bytes from there on, once or twice.
    /// - Parameter range: kept bytes.
    func withBytes(_ range: Range<Int>, _ body: (Int, UnsafeRawBufferPointer) -> Void) {
        guard !range.isEmpty else { return }
        let place = range.lowerBound & (storage.count - 1), first = min(range.count, storage.count - place)
        storage.withUnsafeBytes { storage in
            body(range.lowerBound, UnsafeRawBufferPointer(rebasing: storage[place..<place + first]))
            guard first < range.count else { return }
            body(range.lowerBound + first, UnsafeRawBufferPointer(rebasing: storage[..<(range.count - first)]))
        }
    }

    // MARK: Streams

    private mutating func addRun(_ stream: OutputStream) {
        if runs.count == Self.maxRuns { runs.removeFirst(Self.maxRuns / 2) }
        runs.append(Run(start: end, stream: stream))
    }

    private mutating func dropRuns() {
        guard runs.count > 1, runs[1].start <= start else { return }
        runs.removeFirst((runs.firstIndex { $0.start > start } ?? runs.count) - 1)
    }

    /// The stream of the byte at an offset, and the offset where another one's begin; the stream is nil where it has been
    /// forgotten.
    func run(at offset: Int) -> (stream: OutputStream?, end: Int) {
        var low = 0, high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].start <= offset { low = middle + 1 } else { high = middle }
        }
        return (low > 0 ? runs[low - 1].stream : nil, low < runs.count ? runs[low].start : end)
    }
}
