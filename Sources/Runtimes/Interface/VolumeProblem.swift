/// Why a volume cannot be had: a code that clients know, and a sentence that says what to do.
package struct VolumeProblem: Error, Hashable, Sendable, CustomStringConvertible {
    /// Codes of the contract.
    package enum Code: String, Hashable, Sendable {
        case invalidName = "VOLUME::INVALID_NAME"
        case duplicateName = "VOLUME::DUPLICATE_NAME"
        case invalidBackend = "VOLUME::INVALID_BACKEND"
        case invalidMountPath = "VOLUME::INVALID_MOUNT_PATH"
        case invalidSubPath = "VOLUME::INVALID_SUB_PATH"
        case invalidHostPath = "VOLUME::INVALID_HOST_PATH"
        case hostPathNotAllowed = "VOLUME::HOST_PATH_NOT_ALLOWED"
        case hostPathNotFound = "VOLUME::HOST_PATH_NOT_FOUND"
        case hostPathCreateFailed = "VOLUME::HOST_PATH_CREATE_FAILED"
        case invalidClaimName = "VOLUME::INVALID_PVC_NAME"
        case claimNotFound = "VOLUME::PVC_NOT_FOUND"
        case claimFailed = "VOLUME::PVC_INSPECT_FAILED"
        /// An engine's volume whose files only its driver reaches.
        case claimPartUnsupported = "VOLUME::PVC_SUBPATH_UNSUPPORTED_DRIVER"
        case unsupportedBackend = "VOLUME::UNSUPPORTED_BACKEND"
        case invalidBucket = "VOLUME::INVALID_OSSFS_BUCKET"
        case invalidBucketVersion = "VOLUME::INVALID_OSSFS_VERSION"
        case invalidEndpoint = "VOLUME::INVALID_OSSFS_ENDPOINT"
        case invalidBucketOption = "VOLUME::INVALID_OSSFS_OPTION"
        case invalidBucketKeys = "VOLUME::INVALID_OSSFS_CREDENTIALS"
        case bucketMountFailed = "VOLUME::OSSFS_MOUNT_FAILED"
        /// The contract's word for what none of its volume codes says.
        case invalidParameter = "SANDBOX::INVALID_PARAMETER"

        /// Whether the request is at fault, and not the server.
        package var isCallersFault: Bool {
            ![.hostPathCreateFailed, .claimFailed, .bucketMountFailed].contains(self)
        }
    }

    package let code: Code
    package let description: String

    package init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
