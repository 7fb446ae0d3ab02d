import FoundationEssentials
import Logging
import NIOHTTP1
import Runtimes

/// The images for sandboxes: the base image, and those of registries.
struct LocalImages: ImageSource {
    static let baseName = "sallyport/base:latest"

    private let store: ImageStore

    /// Registers the base image if its folder exists (`scripts/base-image.sh` makes it).
    init(_ settings: Settings, logger: Logger) throws(ImageError) {
        store = try ImageStore(
            directory: settings.local.stateDirectory + "/images",
            insecureRegistries: settings.local.insecureRegistries,
            unqualifiedRegistry: settings.local.unqualifiedRegistry, reserve: settings.local.disk.reserve,
            logger: logger)
        guard FileManager.default.fileExists(atPath: settings.baseImage) else {
            logger.warning("there is no base image", metadata: ["folder": "\(settings.baseImage)"])
            return
        }
        try store.register(root: settings.baseImage, reference: Self.baseName)
    }

    func image(_ reference: String, credentials: RegistryCredentials?) async throws(APIError) -> ResolvedImage {
        do throws(ImageError) {
            let image = try await store.image(reference, credentials: credentials)
            let folder = image.workingDirectory
            return ResolvedImage(
                root: image.root, environment: image.environment, workingDirectory: folder.isEmpty ? "/" : folder)
        } catch {
            throw Self.refusal(error)
        }
    }

    /// 400 for errors that the caller can fix, 500 for those of the server or the registry.
    private static func refusal(_ error: ImageError) -> APIError {
        let status: HTTPResponseStatus =
            switch error {
            case .invalidReference, .invalidCredentials, .unqualified, .notOnThisMachine, .notFound, .unauthorized,
                .unsupportedPlatform:
                .badRequest
            case .unreachable, .pullFailed, .timedOut, .tooLarge, .inUse, .missingTool, .storage: .internalServerError
            }
        return APIError(status, "DOCKER::SANDBOX_IMAGE_PULL_FAILED", "\(error)")
    }
}
