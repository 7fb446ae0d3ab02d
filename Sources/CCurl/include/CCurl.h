// Typed functions over libcurl, which is looked up when `ccurl_load` is first called: a program that never sends a request
// neither links nor maps it, nor the thirty libraries that it brings. Nothing else may be called before.

#ifndef CCURL_H
#define CCURL_H

#define CURL_DISABLE_TYPECHECK 1
#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Loads libcurl.so.4 and prepares it. Call it once.
/// Returns false where it is missing or too old, and why in `reason`.
bool ccurl_load(char *reason, size_t size);

/// What every socket of a transfer gets before it connects.
struct ccurl_socket_options {
    bool is_marked;
    /// SO_MARK and SO_PRIORITY.
    uint32_t mark;
    uint32_t priority;
};

// curl_easy_setopt and curl_easy_getinfo are variadic, which Swift cannot call: one typed function each.

CURLcode ccurl_set_number(CURL *handle, CURLoption option, long value);
CURLcode ccurl_set_size(CURL *handle, CURLoption option, int64_t value);
/// Copied, except for POSTFIELDS. NULL: the option's default is taken away.
CURLcode ccurl_set_text(CURL *handle, CURLoption option, const char *value);
/// Copied.
CURLcode ccurl_set_blob(CURL *handle, CURLoption option, const void *bytes, size_t count);
/// Not copied.
CURLcode ccurl_set_list(CURL *handle, CURLoption option, struct curl_slist *list);
/// Not copied. For ERRORBUFFER and PRIVATE.
CURLcode ccurl_set_pointer(CURL *handle, CURLoption option, void *pointer);
/// `option` is WRITEFUNCTION, HEADERFUNCTION or READFUNCTION, which have one signature.
CURLcode ccurl_set_callback(CURL *handle, CURLoption option, curl_write_callback function);
/// Sockets are made by `ccurl_socket_options`, which must outlive the transfer: close-on-exec, and marked or not at all.
CURLcode ccurl_set_socket_options(CURL *handle, struct ccurl_socket_options *options);
long ccurl_get_number(CURL *handle, CURLINFO info);
void *ccurl_get_private(CURL *handle);

CURL *ccurl_easy_create(void);
void ccurl_easy_free(CURL *handle);
CURLcode ccurl_easy_resume(CURL *handle);
const char *ccurl_reason(CURLcode code);
struct curl_slist *ccurl_list_append(struct curl_slist *list, const char *text);
void ccurl_list_free(struct curl_slist *list);

CURLM *ccurl_multi_create(long connections);
void ccurl_multi_free(CURLM *multi);
CURLMcode ccurl_multi_add(CURLM *multi, CURL *handle);
CURLMcode ccurl_multi_remove(CURLM *multi, CURL *handle);
CURLMcode ccurl_multi_perform(CURLM *multi);
/// Waits for the transfers and for `descriptor` to be readable.
CURLMcode ccurl_multi_poll(CURLM *multi, int descriptor, int milliseconds);
/// The next transfer that has ended, and how; NULL when there is none.
CURL *ccurl_multi_ended(CURLM *multi, CURLcode *code);

#endif
