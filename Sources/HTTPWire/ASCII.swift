/// The byte classes of RFC 9110, section 5.6.
@usableFromInline package enum ASCII {
    @inlinable package static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

    @inlinable package static func isHexDigit(_ byte: UInt8) -> Bool {
        isDigit(byte) || (byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "f"))
    }

    @inlinable package static func isLetter(_ byte: UInt8) -> Bool {
        byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z")
    }

    @inlinable package static func isAlphanumeric(_ byte: UInt8) -> Bool { isDigit(byte) || isLetter(byte) }

    /// tchar of RFC 9110, section 5.6.2: a bit for each byte of ASCII.
    @inlinable package static func isToken(_ byte: UInt8) -> Bool {
        let bits: UInt64 = byte < 64 ? 0x03FF_6CFA_0000_0000 : 0x57FF_FFFF_C7FF_FFFE
        return byte < 128 && (bits >> UInt64(byte & 63)) & 1 != 0
    }

    /// tchar without capital letters: the characters of a field name in HTTP/2 (RFC 9113, section 8.2.1).
    @inlinable package static func isLowerCaseToken(_ byte: UInt8) -> Bool {
        isToken(byte) && !(byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z"))
    }

    /// Whether a field's value may contain it: visible bytes, space, tab, and bytes beyond ASCII.
    @inlinable package static func isFieldByte(_ byte: UInt8) -> Bool { (byte >= 0x20 && byte != 0x7F) || byte == 0x09 }

    /// - Parameter word: in lower case.
    @inlinable package static func isEqual(_ bytes: UnsafeRawBufferPointer, _ word: StaticString) -> Bool {
        guard bytes.count == word.utf8CodeUnitCount else { return false }
        for index in 0..<bytes.count {
            let byte = bytes[index], other = word.utf8Start[index]
            guard byte == other || (byte ^ other == 0x20 && isLetter(byte)) else { return false }
        }
        return true
    }
}

extension ASCII {
    package static func isToken(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { !$0.isEmpty && $0.allSatisfy(isToken) }
    }

    package static func isFieldValue(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { ByteScan.endOfField(in: UnsafeRawBufferPointer($0), from: 0) == $0.count }
    }

    /// Compares, ignoring case.
    @inlinable package static func isEqual(_ bytes: UnsafeRawBufferPointer, ignoringCase word: String) -> Bool {
        guard bytes.count == word.utf8.count else { return false }
        return zip(bytes, word.utf8).allSatisfy { $0 == $1 || ($0 ^ $1 == 0x20 && isLetter($0)) }
    }
}

extension String {
    /// Compares ASCII, ignoring case, without making a copy.
    @inlinable package func isEqualIgnoringCase(to other: String) -> Bool {
        guard utf8.count == other.utf8.count else { return false }
        var others = other.utf8.makeIterator()
        for byte in utf8 {
            let other = others.next()!
            guard byte == other || (byte ^ other == 0x20 && ASCII.isLetter(byte)) else { return false }
        }
        return true
    }
}

extension StringProtocol {
    /// The text without spaces and tabs at its ends.
    package func trimmingSpaces() -> String {
        let isSpace = { (character: Character) in character == " " || character == "\t" }
        guard let first = firstIndex(where: { !isSpace($0) }), let last = lastIndex(where: { !isSpace($0) }) else {
            return ""
        }
        return String(self[first...last])
    }
}
