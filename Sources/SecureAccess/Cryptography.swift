import COpenSSL

/// libcrypto's SHA-256 (FIPS 180-4).
public enum SHA256Digest {
    public static let length = 32

    public static func of(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: length)
        var written: UInt32 = 0
        let status = EVP_Digest(bytes, bytes.count, &digest, &written, EVP_sha256(), nil)
        precondition(status == 1 && written == length, "SHA-256 cannot fail but for lack of memory")
        return digest
    }
}

/// The system's random number generator, by libcrypto.
public enum SecureRandom {
    public static func bytes(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        // A weak secret is worse than none: without randomness the program must end.
        precondition(RAND_bytes(&bytes, Int32(count)) == 1, "the system has no randomness to give")
        return bytes
    }
}

public enum ConstantTime {
    /// Compares secrets in a time that depends on their lengths only.
    public static func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.count == right.count && CRYPTO_memcmp(left, right, left.count) == 0
    }

    /// Whether `text` is `secret` and so many bytes more, in a time that depends on lengths only.
    static func begins(_ text: String, with secret: String, followedBy more: Int) -> Bool {
        var text = text, secret = secret
        return text.withUTF8 { text in
            secret.withUTF8 { secret in
                text.count == secret.count + more
                    && CRYPTO_memcmp(text.baseAddress!, secret.baseAddress!, secret.count) == 0
            }
        }
    }

    /// Compares texts of any lengths in a time that does not tell how much of them agrees: their digests are compared.
    public static func areEqual(_ left: String, _ right: String) -> Bool {
        areEqual(SHA256Digest.of(Array(left.utf8)), SHA256Digest.of(Array(right.utf8)))
    }
}

/// libcrypto's HMAC with SHA-256 (RFC 2104).
public enum HMACSHA256 {
    public static func of(_ message: [UInt8], key: [UInt8]) -> [UInt8] {
        var code = [UInt8](repeating: 0, count: SHA256Digest.length)
        var written: UInt32 = 0
        let result = HMAC(EVP_sha256(), key, Int32(key.count), message, message.count, &code, &written)
        precondition(result != nil && written == SHA256Digest.length, "HMAC cannot fail but for lack of memory")
        return code
    }
}
