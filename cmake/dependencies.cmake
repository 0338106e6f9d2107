# Everything here is a package of Debian 12; docs/decisions/ says why each was taken.
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(CURL 7.88 REQUIRED)
find_package(SQLite3 3.40 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ZSTD    REQUIRED IMPORTED_TARGET libzstd>=1.5)
pkg_check_modules(FYAML   REQUIRED IMPORTED_TARGET libfyaml>=0.7.12)
pkg_check_modules(XXHASH  REQUIRED IMPORTED_TARGET libxxhash>=0.8)
pkg_check_modules(RDKAFKA REQUIRED IMPORTED_TARGET rdkafka>=2.0)
if(SLUICE_TESTS)
  # A second opinion on JSON for core/json's tests; the product has one JSON reader, its own.
  pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.14)
  pkg_check_modules(CHECK REQUIRED IMPORTED_TARGET check>=0.15)
endif()
if(SLUICE_BENCH)
  # What ours is measured against: a bare server of the library that most C programs would take.
  pkg_check_modules(MHD REQUIRED IMPORTED_TARGET libmicrohttpd>=0.9.75)
endif()
