import SafeText

/// Why an image is not available. Every description says what to do; none contains a password.
package enum ImageError: Error, Hashable, Sendable, CustomStringConvertible {
    case invalidReference(String, reason: String)
    case invalidCredentials(reason: String)
    /// The name has no registry, and none is configured for such names.
    case unqualified(String, canonical: String)
    /// A local name for which there is no image on this machine.
    case notOnThisMachine(String)
    /// The registry answers that there is no such image.
    case notFound(String)
    /// The registry refuses the caller. Many also answer this for images that do not exist.
    case unauthorized(String)
    case unreachable(registry: String, reason: String)
    /// The image is not available for this machine's platform.
    case unsupportedPlatform(String, platform: String)
    case pullFailed(String, reason: String)
    case pushFailed(String, reason: String)
    /// There is no whole snapshot of this id.
    case noSnapshot(String)
    case timedOut(String, seconds: Int)
    /// It would use space that must stay free.
    case tooLarge(String, reason: String)
    /// Sandboxes or snapshots use its files.
    case inUse(String)
    case missingTool(String, package: String)
    case storage(action: String, reason: String)

    package var description: String {
        switch self {
        case .invalidReference(let text, let reason):
            "\"\(ForeignText.escaped(text, limit: 80))\" is not an image reference (\(reason)): write it as registry/repository:tag"
        case .invalidCredentials(let reason): "the credentials cannot be used: \(reason)"
        case .unqualified(let image, let canonical):
            "\"\(ForeignText.escaped(image, limit: 80))\" names no registry: write \(canonical), or set "
                + "local.unqualified_registry to the registry that such names are of"
        case .notOnThisMachine(let image):
            "there is no image \(image) on this machine, and names under \(ImageReference.localNames) are never fetched: "
                + "`make base-image` makes \(ImageReference.localNames)base (with CODE=1 \(ImageReference.localNames)code, too); "
                + "from the package: /usr/share/sallyport/base-image.sh /var/lib/sallyport/base"
        case .notFound(let image): "there is no image \(image) in its registry: check name and tag"
        case .unauthorized(let image):
            "the registry refuses access to \(image): it is private, or does not exist; check name and credentials"
        case .unreachable(let registry, let reason): "registry \(registry) cannot be reached: \(reason)"
        case .unsupportedPlatform(let image, let platform): "image \(image) is not available for \(platform)"
        case .pullFailed(let image, let reason): "pulling \(image) failed: \(reason)"
        case .pushFailed(let image, let reason): "pushing \(image) failed: \(reason)"
        case .noSnapshot(let id):
            "there is no snapshot \(ForeignText.escaped(id, limit: 80)) that is Ready: `sallyport snapshot list` has them"
        case .timedOut(let image, let seconds): "pulling \(image) took more than \(seconds) s: try again"
        case .tooLarge(let image, let reason): "image \(image) does not fit: \(reason)"
        case .inUse(let image): "sandboxes or snapshots use image \(image): delete them first"
        case .missingTool(let tool, let package): "\(tool) is not installed: apt-get install \(package)"
        case .storage(let action, let reason): "\(action): \(reason)"
        }
    }
}
