/// Looks for the end of long runs of bytes, eight at a time.
package enum ByteScan {
    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let tops: UInt64 = 0x8080_8080_8080_8080

    package static func isASCII(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var at = 0
        while at &+ 8 <= bytes.count {
            guard bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self) & tops == 0 else { return false }
            at &+= 8
        }
        while at < bytes.count {
            guard bytes[at] < 0x80 else { return false }
            at &+= 1
        }
        return true
    }

    /// The place of the first byte that no field's value has (a control byte other than tab), or the end.
    package static func endOfField(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var at = start
        while true {
            at = firstControl(below: 0x20, in: bytes, from: at)
            guard at < bytes.count, bytes[at] == 0x09 else { return at }
            at += 1
        }
    }

    /// The place of the first space, control byte or DEL, or the end.
    package static func endOfTarget(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        firstControl(below: 0x21, in: bytes, from: start)
    }

    /// The place of the first byte below a bound of at most 0x80, or DEL.
    @inline(__always)
    private static func firstControl(below bound: UInt8, in bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var at = start
        let bounds = ones &* UInt64(bound), deletes = ones &* 0x7F
        while at &+ 8 <= bytes.count {
            let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            // The lowest bit that is set is exact: a borrow carries upwards only.
            let low = (word &- bounds) & ~word
            let other = word ^ deletes
            let found = (low | (other &- ones) & ~other) & tops
            if found != 0 { return at &+ found.trailingZeroBitCount / 8 }
            at &+= 8
        }
        while at < bytes.count, bytes[at] >= bound, bytes[at] != 0x7F { at &+= 1 }
        return at
    }
}
