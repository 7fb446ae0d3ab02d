import JSON
import SafeText

/// Reads what the engine says while it fetches an image: a value of JSON a line, of which one may be the reason of a failure.
enum PullProgress {
    /// The reason, made safe; nil for progress.
    static func failure(in line: [UInt8]) throws(EngineFailure) -> String? {
        guard line.contains(where: { $0 > 0x20 }) else { return nil }
        let value: JSONValue
        do { value = try JSONValue(line) } catch {
            throw EngineFailure(.malformed, "the engine's progress cannot be read: \(error)")
        }
        guard case .string(let text) = value["errorDetail"]?["message"] ?? value["error"] ?? .null else { return nil }
        return ForeignText.escaped(text, limit: 500)
    }

    /// What an engine's words mean. They are the registry's, as skopeo prints them, but for those of platforms.
    static func error(_ words: String, for image: ImageReference, platform: String) -> ImageError {
        let own = image.familiar
        let text = words.split(separator: own, omittingEmptySubsequences: false).joined(separator: " ")
        let ofPlatforms = ["no matching manifest", "does not match the specified platform", "no match for platform"]
        guard !ofPlatforms.contains(where: { text.lowercased().contains($0) }) else {
            return .unsupportedPlatform(own, platform: platform)
        }
        // The engine's own word for a registry that asks for credentials of a caller who has none.
        guard !text.lowercased().contains("no basic auth credentials") else { return .unauthorized(own) }
        return Registry.error(text, for: image)
    }
}
