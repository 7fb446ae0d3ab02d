import CLinux

/// Compares secrets in a time that tells nothing about the one that is kept.
package enum ConstantTime {
    /// The time depends on how long `presented` is, and on nothing else: neither a prefix nor a length can be found by
    /// timing. An empty secret equals nothing, not even an empty guess.
    package static func areEqual(_ presented: [UInt8], _ secret: [UInt8]) -> Bool {
        linux_secret_equals(presented, presented.count, secret, secret.count) == 1
    }

    /// The same of texts' UTF-8.
    package static func areEqual(_ presented: String, _ secret: String) -> Bool {
        areEqual(Array(presented.utf8), Array(secret.utf8))
    }
}
