import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A descriptor that has an event once a child has ended, and not before; it does not reap.
enum ExitDescriptor {
    /// A pidfd. Where the kernel has none, as gVisor's, the end of a pipe whose other end a thread closes that waits for the child.
    /// - Returns: -1 if there is none.
    static func open(_ child: pid_t) -> CInt {
        let descriptor = linux_pidfd_open(child)
        guard descriptor < 0, errno == ENOSYS else { return descriptor }
        return waiting(for: child)
    }

    static func waiting(for child: pid_t) -> CInt {
        var ends: [CInt] = [-1, -1]
        guard linux_pipe(&ends) == 0 else { return -1 }
        let (near, far) = (ends[0], ends[1])
        do throws(SystemCallError) {
            try DetachedThread.start {
                var found = siginfo_t()
                while waitid(P_PID, id_t(child), &found, WEXITED | WNOWAIT) != 0, errno == EINTR {}
                close(far)
            }
        } catch {
            close(near)
            close(far)
            return -1
        }
        return near
    }
}
