# The flags of every target. Warnings are errors; hardening is on in every build that ships.
add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wformat=2
  -Wcast-qual -Wundef -Wwrite-strings -Werror
  -fstack-protector-strong -fstack-clash-protection -fcf-protection=full -fno-omit-frame-pointer
  -ftrivial-auto-var-init=zero)
add_compile_definitions(_GNU_SOURCE SLUICE_VERSION="${PROJECT_VERSION}")
include_directories(${PROJECT_SOURCE_DIR})
set(CMAKE_C_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")
if(SLUICE_SANITIZE)
  add_compile_options(-fsanitize=${SLUICE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SLUICE_SANITIZE})
else()
  add_compile_options($<$<CONFIG:Release>:-D_FORTIFY_SOURCE=3>)
endif()
add_link_options(-Wl,-z,relro,-z,now)
