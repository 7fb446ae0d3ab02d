/// How the programs are told what to mount: the keys in a file, and everything else in the arguments, but for version 2 of
/// `ossfs` in that file as well (contract).
struct BucketCommand: Hashable, Sendable {
    let program: String
    /// The file's text, for its owner only.
    let file: String
    let arguments: [String]

    /// What the programs that keep files on their way to the bucket in /tmp leave free there.
    private static let spareMebibytes = 1024

    /// - Parameters:
    ///   - owner: the id of this machine whose files they are to be.
    ///   - path: of the file.
    /// - Throws: where a text would be more than one mount option, wherever it comes from.
    init(
        _ claim: BucketClaim, _ keys: BucketKeys, prefix: SubPath?, owner: UInt32, target: String, path: String
    ) throws(VolumeProblem) {
        switch claim.version {
        case .one, .s3:
            program = claim.version.program
            file = "\(claim.bucket):\(keys.id):\(keys.secret)\n"
            let url = claim.endpoint.contains("://") ? claim.endpoint : "https://\(claim.endpoint)"
            let own =
                [
                    "url=\(url)", "passwd_file=\(path)", "allow_other", "uid=\(owner)", "gid=\(owner)",
                    "ensure_diskfree=\(Self.spareMebibytes)",
                ] + (claim.version == .s3 ? ["use_path_request_style"] : [])
                + (claim.region.map { ["endpoint=\($0)"] } ?? []) + claim.options
            // The program makes an option of what it mounts, too.
            let mounted = claim.bucket + (prefix.map { ":/\($0)" } ?? "")
            guard (own + [mounted]).allSatisfy(BucketClaim.isOneOption) else {
                throw VolumeProblem(
                    .invalidBucketOption,
                    "an endpoint, option or path of the bucket \(claim.bucket) has a comma or backslash")
            }
            arguments = [mounted, target] + own.flatMap { ["-o", $0] }
        case .two:
            program = claim.version.program
            let lines =
                [
                    "oss_endpoint=\(claim.endpoint)", "oss_bucket=\(claim.bucket)", "oss_access_key_id=\(keys.id)",
                    "oss_access_key_secret=\(keys.secret)",
                ] + (prefix.map { ["oss_bucket_prefix=\($0)/"] } ?? [])
                + ["allow_other=true", "uid=\(owner)", "gid=\(owner)"] + claim.options
            file = lines.map { "--\($0)\n" }.joined()
            arguments = ["mount", target, "-c", path]
        case .rclone:
            program = claim.version.program
            let url = claim.endpoint.contains("://") ? claim.endpoint : "https://\(claim.endpoint)"
            let lines =
                [
                    "[bucket]", "type = s3", "provider = Other", "env_auth = false", "access_key_id = \(keys.id)",
                    "secret_access_key = \(keys.secret)", "endpoint = \(url)", "force_path_style = true",
                ] + (claim.region.map { ["region = \($0)"] } ?? [])
            file = lines.map { $0 + "\n" }.joined()
            // No bucket is made. Nothing of one is kept on the server's disk, and what is read ahead of each open file is bounded.
            arguments =
                [
                    "mount", "bucket:\(claim.bucket)" + (prefix.map { "/\($0)" } ?? ""), target, "--config=\(path)",
                    "--daemon",
                    "--allow-other", "--uid=\(owner)", "--gid=\(owner)", "--vfs-cache-mode=off", "--buffer-size=1M",
                    "--use-mmap", "--s3-no-check-bucket", "--log-level=ERROR",
                ] + (try Self.flags(claim.options))
        }
    }

    /// The options of requests as rclone has them.
    /// - Throws: of those that it does not have.
    static func flags(_ options: [String]) throws(VolumeProblem) -> [String] {
        var flags: [String] = []
        for option in options {
            let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let known = names[parts[0]]
            guard let known, (known.form == .alone) == (parts.count == 1) else {
                throw VolumeProblem(
                    .invalidBucketOption,
                    "an option is not one of rclone, with which this server mounts buckets: use "
                        + names.keys.sorted().joined(separator: ", "))
            }
            flags.append("--" + known.flag + (parts.count == 1 ? "" : "=" + parts[1] + known.form.rawValue))
        }
        return flags
    }

    /// What stands behind a value: a unit, or nothing; or that there is none.
    private enum Form: String { case alone = "-", plain = "", seconds = "s", mebibytes = "M" }
    private static let names: [String: (flag: String, form: Form)] = [
        "ro": ("read-only", .alone), "umask": ("umask", .plain), "file_mode": ("file-perms", .plain),
        "dir_mode": ("dir-perms", .plain), "attr_timeout": ("attr-timeout", .seconds),
        "stat_cache_expire": ("dir-cache-time", .seconds), "connect_timeout": ("contimeout", .seconds),
        "readwrite_timeout": ("timeout", .seconds), "retries": ("low-level-retries", .plain),
        "storage_class": ("s3-storage-class", .plain), "multipart_size": ("s3-chunk-size", .mebibytes),
        "parallel_count": ("s3-upload-concurrency", .plain),
    ]
}

extension BucketClaim.Version {
    /// What mounts it.
    var program: String {
        switch self {
        case .one: "ossfs"
        case .two: "ossfs2"
        case .s3: "s3fs"
        case .rclone: "rclone"
        }
    }
}
