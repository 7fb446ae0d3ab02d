/// Punycode, RFC 3492, with its parameters for domain names (section 5).
enum Punycode {
    private static let base = 36, tMin = 1, tMax = 26, skew = 38, damp = 700, initialBias = 72, initialN = 128

    /// Encodes a label, without `xn--`; nil if a number overflows.
    static func encode(_ scalars: [Unicode.Scalar]) -> [UInt8]? {
        var output = scalars.filter(\.isASCII).map { UInt8($0.value) }
        let basic = output.count
        var handled = basic
        if basic > 0 { output.append(UInt8(ascii: "-")) }
        var n = initialN, delta = 0, bias = initialBias
        while handled < scalars.count {
            let next = scalars.lazy.map { Int($0.value) }.filter { $0 >= n }.min()!
            let (step, overflow) = (next - n).multipliedReportingOverflow(by: handled + 1)
            guard !overflow else { return nil }
            delta += step
            n = next
            for scalar in scalars {
                if scalar.value < n { delta += 1 }
                guard scalar.value == n else { continue }
                var q = delta, k = base
                while true {
                    let t = threshold(k, bias)
                    if q < t { break }
                    output.append(digit(t + (q - t) % (base - t)))
                    q = (q - t) / (base - t)
                    k += base
                }
                output.append(digit(q))
                bias = adapt(delta, handled + 1, first: handled == basic)
                delta = 0
                handled += 1
            }
            delta += 1
            n += 1
        }
        return output
    }

    /// Decodes a label (without `xn--`); nil if it is malformed.
    static func decode(_ input: some BidirectionalCollection<UInt8>) -> [Unicode.Scalar]? {
        let delimiter = input.lastIndex(of: UInt8(ascii: "-"))
        var scalars = (delimiter.map { Array(input[..<$0]) } ?? []).map { Unicode.Scalar($0) }
        var rest = input[(delimiter.map { input.index(after: $0) } ?? input.startIndex)...].makeIterator()
        var n = initialN, i = 0, bias = initialBias
        while let first = rest.next() {
            let before = i
            var weight = 1, k = base, current: UInt8? = first
            while true {
                guard let byte = current, let value = value(byte) else { return nil }
                let (step, overflow) = value.multipliedReportingOverflow(by: weight)
                guard !overflow, i + step < Int(UInt32.max) else { return nil }
                i += step
                let t = threshold(k, bias)
                if value < t { break }
                weight *= base - t
                guard weight < Int(UInt32.max) else { return nil }
                k += base
                current = rest.next()
            }
            let count = scalars.count + 1
            bias = adapt(i - before, count, first: before == 0)
            n += i / count
            i %= count
            guard let scalar = Unicode.Scalar(UInt32(clamping: n)) else { return nil }
            scalars.insert(scalar, at: i)
            i += 1
        }
        return scalars
    }

    private static func threshold(_ k: Int, _ bias: Int) -> Int { min(max(k - bias, tMin), tMax) }

    private static func digit(_ value: Int) -> UInt8 {
        value < 26 ? UInt8(ascii: "a") + UInt8(value) : UInt8(ascii: "0") + UInt8(value - 26)
    }

    private static func value(_ byte: UInt8) -> Int? {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"): Int(byte - UInt8(ascii: "a"))
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte - UInt8(ascii: "0")) + 26
        default: nil
        }
    }

    private static func adapt(_ delta: Int, _ points: Int, first: Bool) -> Int {
        var delta = first ? delta / damp : delta / 2
        delta += delta / points
        var k = 0
        while delta > (base - tMin) * tMax / 2 {
            delta /= base - tMin
            k += base
        }
        return k + (base - tMin + 1) * delta / (delta + skew)
    }
}
