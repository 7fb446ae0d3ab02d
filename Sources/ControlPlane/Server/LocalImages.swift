import FoundationEssentials
import Logging
import Runtimes

/// The images for sandboxes: the base image, and those of registries.
enum LocalImages {
    static let baseName = "sallyport/base:latest"

    /// Registers the base image if its folder exists (`scripts/base-image.sh` makes it).
    static func open(_ settings: Settings, logger: Logger) throws(ImageError) -> ImageStore {
        let store = try ImageStore(
            directory: settings.local.stateDirectory + "/images",
            insecureRegistries: settings.local.insecureRegistries,
            unqualifiedRegistry: settings.local.unqualifiedRegistry, reserve: settings.local.disk.reserve,
            logger: logger)
        guard FileManager.default.fileExists(atPath: settings.baseImage) else {
            logger.warning("there is no base image", metadata: ["folder": "\(settings.baseImage)"])
            return store
        }
        try store.register(root: settings.baseImage, reference: baseName)
        return store
    }
}
