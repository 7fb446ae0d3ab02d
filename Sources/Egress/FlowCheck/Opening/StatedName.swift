import NetworkPolicy

/// A host name as a client states it in a ClientHello or an HTTP request.
enum StatedName {
    /// Stricter than the text of a rule: only A-labels, and no trailing dot. RFC 6066, section 3, forbids the dot, and
    /// some servers treat the name with it as a different host.
    static func parse(_ bytes: some Collection<UInt8>) throws(FlowRefusal) -> DomainName {
        guard bytes.count <= 253 else { throw .notAName("it has \(bytes.count) bytes") }
        guard bytes.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw .notAName("it has bytes that no host name has")
        }
        let text = String(decoding: bytes, as: UTF8.self)
        guard !text.hasSuffix(".") else { throw .notAName("it ends in a dot") }
        do throws(DomainNameError) {
            return try DomainName(text)
        } catch {
            throw .notAName("\(error)")
        }
    }
}
