#include "CCurl.h"
#include <dlfcn.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

// The functions in use, each with the type that curl.h gives it.
#define EACH(USE)                                                                                                      \
    USE(global_init) USE(version_info) USE(easy_init) USE(easy_cleanup) USE(easy_setopt) USE(easy_getinfo)             \
    USE(easy_pause) USE(easy_strerror) USE(slist_append) USE(slist_free_all) USE(multi_init) USE(multi_cleanup)        \
    USE(multi_setopt) USE(multi_add_handle) USE(multi_remove_handle) USE(multi_perform) USE(multi_poll)                \
    USE(multi_info_read)

#define DECLARE(name) __typeof__(curl_##name) *name;
static struct { EACH(DECLARE) } curl;

// 7.85.0: protocols are named as texts.
#define OLDEST 0x075500

bool ccurl_load(char *reason, size_t size) {
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(reason, size, "libcurl.so.4 is not on this system: install libcurl4 and ca-certificates");
        return false;
    }
#define LOOK_UP(name)                                                                                                  \
    *(void **)&curl.name = dlsym(library, "curl_" #name);                                                              \
    if (!curl.name) {                                                                                                  \
        snprintf(reason, size, "libcurl has no curl_" #name);                                                          \
        return false;                                                                                                  \
    }
    EACH(LOOK_UP)
    // OpenSSL would otherwise free its tables at the process's end while the thread of transfers still uses them.
    int (*init_crypto)(uint64_t, const void *);
    *(void **)&init_crypto = dlsym(library, "OPENSSL_init_crypto");
    if (init_crypto) init_crypto(0x00080000 /* OPENSSL_INIT_NO_ATEXIT */, NULL);
    if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        snprintf(reason, size, "libcurl cannot start");
        return false;
    }
    curl_version_info_data *version = curl.version_info(CURLVERSION_NOW);
    if (version->version_num < OLDEST) {
        snprintf(reason, size, "libcurl %.20s is too old: 7.85 or later is needed", version->version);
        return false;
    }
    if (!(version->features & CURL_VERSION_SSL) || !(version->features & CURL_VERSION_UNIX_SOCKETS)) {
        snprintf(reason, size, "this libcurl is built without TLS or unix sockets");
        return false;
    }
    return true;
}

CURLcode ccurl_set_number(CURL *handle, CURLoption option, long value) {
    return curl.easy_setopt(handle, option, value);
}

CURLcode ccurl_set_size(CURL *handle, CURLoption option, int64_t value) {
    return curl.easy_setopt(handle, option, (curl_off_t)value);
}

CURLcode ccurl_set_text(CURL *handle, CURLoption option, const char *value) {
    return curl.easy_setopt(handle, option, value);
}

CURLcode ccurl_set_blob(CURL *handle, CURLoption option, const void *bytes, size_t count) {
    struct curl_blob blob = {.data = (void *)bytes, .len = count, .flags = CURL_BLOB_COPY};
    return curl.easy_setopt(handle, option, &blob);
}

CURLcode ccurl_set_list(CURL *handle, CURLoption option, struct curl_slist *list) {
    return curl.easy_setopt(handle, option, list);
}

CURLcode ccurl_set_pointer(CURL *handle, CURLoption option, void *pointer) {
    return curl.easy_setopt(handle, option, pointer);
}

CURLcode ccurl_set_callback(CURL *handle, CURLoption option, curl_write_callback function) {
    return curl.easy_setopt(handle, option, function);
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)purpose;
    const struct ccurl_socket_options *options = context;
    int made = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (made < 0 || !options->is_marked || address->family == AF_UNIX) return made < 0 ? CURL_SOCKET_BAD : made;
    if (setsockopt(made, SOL_SOCKET, SO_MARK, &options->mark, sizeof options->mark) < 0 ||
        setsockopt(made, SOL_SOCKET, SO_PRIORITY, &options->priority, sizeof options->priority) < 0) {
        close(made);
        return CURL_SOCKET_BAD;
    }
    return made;
}

CURLcode ccurl_set_socket_options(CURL *handle, struct ccurl_socket_options *options) {
    CURLcode code = curl.easy_setopt(handle, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    return code != CURLE_OK ? code : curl.easy_setopt(handle, CURLOPT_OPENSOCKETDATA, options);
}

long ccurl_get_number(CURL *handle, CURLINFO info) {
    long number = 0;
    curl.easy_getinfo(handle, info, &number);
    return number;
}

void *ccurl_get_private(CURL *handle) {
    char *pointer = NULL;
    curl.easy_getinfo(handle, CURLINFO_PRIVATE, &pointer);
    return pointer;
}

CURL *ccurl_easy_create(void) { return curl.easy_init(); }
void ccurl_easy_free(CURL *handle) { curl.easy_cleanup(handle); }
CURLcode ccurl_easy_resume(CURL *handle) { return curl.easy_pause(handle, CURLPAUSE_CONT); }
const char *ccurl_reason(CURLcode code) { return curl.easy_strerror(code); }

struct curl_slist *ccurl_list_append(struct curl_slist *list, const char *text) {
    struct curl_slist *longer = curl.slist_append(list, text);
    if (!longer) curl.slist_free_all(list);
    return longer;
}

void ccurl_list_free(struct curl_slist *list) { curl.slist_free_all(list); }

CURLM *ccurl_multi_create(long connections) {
    CURLM *multi = curl.multi_init();
    if (multi) curl.multi_setopt(multi, CURLMOPT_MAXCONNECTS, connections);
    return multi;
}

void ccurl_multi_free(CURLM *multi) { curl.multi_cleanup(multi); }
CURLMcode ccurl_multi_add(CURLM *multi, CURL *handle) { return curl.multi_add_handle(multi, handle); }
CURLMcode ccurl_multi_remove(CURLM *multi, CURL *handle) { return curl.multi_remove_handle(multi, handle); }

CURLMcode ccurl_multi_perform(CURLM *multi) {
    int running = 0;
    return curl.multi_perform(multi, &running);
}

CURLMcode ccurl_multi_poll(CURLM *multi, int descriptor, int milliseconds) {
    struct curl_waitfd also = {.fd = descriptor, .events = CURL_WAIT_POLLIN};
    return curl.multi_poll(multi, &also, 1, milliseconds, NULL);
}

CURL *ccurl_multi_ended(CURLM *multi, CURLcode *code) {
    int left = 0;
    CURLMsg *message;
    while ((message = curl.multi_info_read(multi, &left))) {
        if (message->msg != CURLMSG_DONE) continue;
        *code = message->data.result;
        return message->easy_handle;
    }
    return NULL;
}
