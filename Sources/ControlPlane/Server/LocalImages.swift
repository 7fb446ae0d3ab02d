import FoundationEssentials
import Logging
import Runtimes
import Spelling

/// The images for sandboxes: the base image, and those of registries.
enum LocalImages {
    static let baseName = "sallyport/base:latest"
    static let codeName = "sallyport/code:latest"

    /// What the code image's start and execd agree on: where its Jupyter server listens, on the sandbox's loopback, and what it
    /// asks for, which is a secret to nobody in the sandbox.
    private static let codeEnvironment: [ExactName: String] = [
        "JUPYTER_HOST": "http://127.0.0.1:44771", "JUPYTER_PORT": "44771",
        "JUPYTER_TOKEN": "opensandboxcodeinterpreterjupyter", "PIP_BREAK_SYSTEM_PACKAGES": "1",
        "DENO_NO_UPDATE_CHECK": "1",
    ]

    /// Registers the images of this machine whose folders exist (`scripts/base-image.sh` and `scripts/code-image.sh` make them).
    ///
    /// - Parameter snapshots: what else stands on images.
    static func open(_ settings: Settings, snapshots: LayerStore, logger: Logger) throws(ImageError) -> ImageStore {
        let store = try ImageStore(
            directory: settings.local.stateDirectory + "/images",
            insecureRegistries: settings.local.insecureRegistries,
            unqualifiedRegistry: settings.local.unqualifiedRegistry, reserve: settings.local.disk.reserve,
            logger: logger, isHeld: { snapshots.holds(image: $0) })
        if FileManager.default.fileExists(atPath: settings.codeImage) {
            try store.register(
                root: settings.codeImage, reference: codeName,
                entrypoint: ["/opt/opensandbox/code-interpreter.sh"], environment: codeEnvironment,
                workingDirectory: "/workspace")
        }
        guard FileManager.default.fileExists(atPath: settings.baseImage) else {
            logger.warning("there is no base image", metadata: ["folder": "\(settings.baseImage)"])
            return store
        }
        try store.register(root: settings.baseImage, reference: baseName)
        return store
    }
}
