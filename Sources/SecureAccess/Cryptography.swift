import COpenSSL

/// libcrypto's SHA-256 (FIPS 180-4).
public enum SHA256Digest {
    public static let length = 32
    static let blockLength = 64

    /// Looked up once, because a look-up costs libcrypto more than hashing a short text.
    nonisolated(unsafe) private static let algorithm: OpaquePointer = {
        guard let found = EVP_MD_fetch(nil, "SHA256", nil) else { preconditionFailure("libcrypto has no SHA-256") }
        return found
    }()

    public static func of(_ bytes: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: length) { digest, count in
            var written: UInt32 = 0
            let status = EVP_Digest(bytes, bytes.count, digest.baseAddress, &written, algorithm, nil)
            precondition(status == 1 && written == length, "SHA-256 cannot fail but for lack of memory")
            count = length
        }
    }
}

/// The system's random number generator, by libcrypto.
public enum SecureRandom {
    public static func bytes(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        // A weak secret is worse than none, so the program ends if there is no randomness.
        precondition(RAND_bytes(&bytes, Int32(count)) == 1, "the system has no randomness to give")
        return bytes
    }
}

/// HMAC with SHA-256 (RFC 2104), of two of libcrypto's digests: its own HMAC looks both algorithms up with every call.
public enum HMACSHA256 {
    public static func of(_ message: [UInt8], key: [UInt8]) -> [UInt8] {
        let block = SHA256Digest.blockLength
        let short = key.count > block ? SHA256Digest.of(key) : key
        func padded(_ pad: UInt8, _ rest: [UInt8]) -> [UInt8] {
            var bytes = [UInt8](repeating: pad, count: block)
            bytes.reserveCapacity(block + rest.count)
            for (place, byte) in short.enumerated() { bytes[place] ^= byte }
            bytes += rest
            return bytes
        }
        return SHA256Digest.of(padded(0x5c, SHA256Digest.of(padded(0x36, message))))
    }
}
