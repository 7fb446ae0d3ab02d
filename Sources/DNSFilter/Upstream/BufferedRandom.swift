#if canImport(Glibc)
    import Glibc
#endif

/// Random numbers from the kernel, fetched in bulk, since every question needs three.
struct BufferedRandom: RandomNumberGenerator {
    private static let batch = 64
    private var numbers = [UInt64](repeating: 0, count: batch)
    private var used = batch

    mutating func next() -> UInt64 {
        if used == Self.batch { fill() }
        defer {
            // Erase used numbers from memory.
            numbers[used] = 0
            used += 1
        }
        return numbers[used]
    }

    private mutating func fill() {
        numbers.withUnsafeMutableBytes { bytes in
            // getentropy(3) returns at most 256 bytes at once.
            for start in stride(from: 0, to: bytes.count, by: 256) {
                let status = getentropy(bytes.baseAddress! + start, min(256, bytes.count - start))
                precondition(status == 0, "the kernel gives no randomness")
            }
        }
        used = 0
    }
}
