/// What a signed route may be used for, beyond its sandbox, port and expiry. It follows the signature, which covers it:
/// base 32 of one byte of flags and the fields that they announce, in one canonical form.
///
/// | flag | behind it |
/// |---|---|
/// | 1 | one-time: 10 random bytes |
/// | 2 | methods: one byte, a bit each |
/// | 4 | path: its length, and its bytes |
/// | 8 | label: its length, and its bytes |
public struct RouteScope: Hashable, Sendable {
    /// The methods that a route may be restricted to.
    public struct Methods: OptionSet, Hashable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        static let names = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"]
        /// A protocol upgrade. GET does not include it, since what passes through an upgraded connection has no
        /// methods.
        public static let webSocket = Methods(rawValue: 1 << 7)

        /// Reads `GET,POST`.
        /// - Returns: nil for an empty list or an unknown name.
        public init?(_ text: String) {
            self.init()
            for name in text.split(separator: ",", omittingEmptySubsequences: false) {
                guard let bit = Self.names.firstIndex(of: name.uppercased()) else { return nil }
                insert(Methods(rawValue: 1 << UInt8(bit)))
            }
        }

        public func permits(_ method: String) -> Bool {
            if method == "HEAD" && contains(Methods(rawValue: 1)) { return true }
            guard let bit = Self.names.firstIndex(of: method), method != "WEBSOCKET" else { return false }
            return contains(Methods(rawValue: 1 << UInt8(bit)))
        }

        public var text: String {
            Self.names.enumerated().filter { rawValue & (1 << UInt8($0.offset)) != 0 }.map(\.element).joined(
                separator: ",")
        }
    }

    /// Identifies a one-time route; nil for one that may be used any number of times.
    public var nonce: [UInt8]?
    /// nil: any.
    public var methods: Methods?
    /// A path, which includes everything below it; nil for any.
    public var path: String?
    /// A word for whom it was given to. Passed to the sandbox; not a secret.
    public var label: String?

    public static let nonceLength = 10
    public static let maxPath = 128
    public static let maxLabel = 32

    private init() {}

    /// - Throws: `RouteScopeError`.
    public init(
        once: Bool = false, methods: Methods? = nil, path: String? = nil, label: String? = nil
    ) throws(RouteScopeError) {
        guard methods.map({ !$0.isEmpty }) ?? true else { throw .methods }
        guard path.map({ Self.isPath(Array($0.utf8)) }) ?? true else { throw .path }
        guard label.map({ Self.isLabel(Array($0.utf8)) }) ?? true else { throw .label }
        nonce = once ? SecureRandom.bytes(Self.nonceLength) : nil
        self.methods = methods
        self.path = path
        self.label = label
    }

    public var isEmpty: Bool { nonce == nil && methods == nil && path == nil && label == nil }

    /// The same scope without the one-time restriction, for a cookie that the first use is given.
    public var lasting: RouteScope {
        var other = self
        other.nonce = nil
        return other
    }

    // MARK: text

    public var text: String {
        var bytes: [UInt8] = [0]
        if let nonce {
            bytes[0] |= 1
            bytes += nonce
        }
        if let methods {
            bytes[0] |= 2
            bytes.append(methods.rawValue)
        }
        for (flag, value) in [(UInt8(4), path), (8, label)] {
            guard let value else { continue }
            bytes[0] |= flag
            bytes.append(UInt8(value.utf8.count))
            bytes += value.utf8
        }
        return Base32.text(bytes)
    }

    /// - Returns: nil for anything but a scope's canonical form.
    init?(_ text: UnsafeBufferPointer<UInt8>) {
        guard var bytes = Base32.bytes(text)?[...], let flags = bytes.popFirst(), flags != 0, flags & 0xF0 == 0 else {
            return nil
        }
        func take(_ count: Int) -> [UInt8]? {
            guard bytes.count >= count else { return nil }
            defer { bytes = bytes.dropFirst(count) }
            return Array(bytes.prefix(count))
        }
        func string() -> [UInt8]? { take(1).flatMap { take(Int($0[0])) } }
        self.init()
        if flags & 1 != 0 {
            guard let found = take(Self.nonceLength) else { return nil }
            nonce = found
        }
        if flags & 2 != 0 {
            guard let found = take(1), found[0] != 0 else { return nil }
            methods = Methods(rawValue: found[0])
        }
        if flags & 4 != 0 {
            guard let found = string(), Self.isPath(found) else { return nil }
            path = String(decoding: found, as: UTF8.self)
        }
        if flags & 8 != 0 {
            guard let found = string(), Self.isLabel(found) else { return nil }
            label = String(decoding: found, as: UTF8.self)
        }
        guard bytes.isEmpty else { return nil }
    }

    // MARK: paths

    /// Whether all servers read the path alike: it has no escapes and no empty or dotted segments.
    private static func isPath(_ bytes: [UInt8]) -> Bool {
        guard bytes.first == UInt8(ascii: "/"), bytes.count <= maxPath else { return false }
        let isPlain = bytes.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: "~"):
                true
            default: false
            }
        }
        let text = String(decoding: bytes, as: UTF8.self)
        return isPlain && !text.contains("//") && !text.contains("..") && !text.contains("/./") && !text.hasSuffix("/.")
    }

    private static func isLabel(_ bytes: [UInt8]) -> Bool {
        (1...maxLabel).contains(bytes.count)
            && bytes.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }

    /// Whether a request target is within the path. A target that some server could read as another path (dots, empty
    /// segments, escapes of these or of escapes, backslashes) is within none.
    public func permits(target: String) -> Bool {
        guard let path else { return true }
        let asked = target.prefix { $0 != "?" }
        guard asked.hasPrefix(path) else { return false }
        let rest = asked.dropFirst(path.count)
        guard rest.isEmpty || path.hasSuffix("/") || rest.first == "/" else { return false }
        let lower = asked.lowercased()
        return !["..", "//", "/./", "\\", ";", "%2e", "%2f", "%5c", "%25", "%3b", "%00"].contains { lower.contains($0) }
            && !lower.hasSuffix("/.")
    }
}

public enum RouteScopeError: Error, Hashable, Sendable, CustomStringConvertible {
    case methods, path, label

    public var description: String {
        switch self {
        case .methods: "methods: a list of \(RouteScope.Methods.names.joined(separator: ", "))"
        case .path:
            "path: begins with / and has letters, digits and -._~ only, no empty or dotted segments, "
                + "\(RouteScope.maxPath) characters at most"
        case .label: "label: letters, digits and -._, \(RouteScope.maxLabel) characters at most"
        }
    }
}

/// Bytes in base 32 (RFC 4648, section 6) in lower case, without padding, in canonical form.
enum Base32 {
    static func text(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = [], held: UInt32 = 0, count = 0
        for byte in bytes {
            held = held << 8 | UInt32(byte)
            count += 8
            while count >= 5 {
                count -= 5
                text.append(CodeAlphabet.base32.digits[Int(held >> UInt32(count)) & 31])
            }
        }
        if count > 0 { text.append(CodeAlphabet.base32.digits[Int(held << UInt32(5 - count)) & 31]) }
        return String(decoding: text, as: UTF8.self)
    }

    static func bytes(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        guard !text.isEmpty, ![1, 3, 6].contains(text.count % 8) else { return nil }
        var bytes: [UInt8] = [], held: UInt32 = 0, count = 0
        for byte in text {
            guard let value = CodeAlphabet.base32.value(byte) else { return nil }
            held = (held << 5 | UInt32(value)) & 0xFFFF
            count += 5
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: held >> UInt32(count)))
            }
        }
        return held & (1 << UInt32(count) - 1) == 0 ? bytes : nil
    }
}
