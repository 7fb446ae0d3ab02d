import CLinux

/// Constant-time comparison of secrets.
package enum ConstantTime {
    /// The time depends only on the length of `presented`, so neither a prefix nor the secret's length can be found by
    /// timing. An empty secret equals nothing, not even an empty text.
    package static func areEqual(_ presented: [UInt8], _ secret: [UInt8]) -> Bool {
        linux_secret_equals(presented, presented.count, secret, secret.count) == 1
    }

    /// The same for texts, as UTF-8.
    package static func areEqual(_ presented: String, _ secret: String) -> Bool {
        areEqual(Array(presented.utf8), Array(secret.utf8))
    }
}
