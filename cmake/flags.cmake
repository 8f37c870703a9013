# Flags of the project's own targets; nothing here reaches a consumer.
add_library(yoke_flags INTERFACE)
target_compile_features(yoke_flags INTERFACE c_std_11)
target_compile_definitions(yoke_flags INTERFACE _GNU_SOURCE)
target_compile_options(yoke_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C>:-std=gnu11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -fstack-clash-protection -fno-omit-frame-pointer>
  $<$<AND:$<BOOL:${YOKE_WERROR}>,$<COMPILE_LANGUAGE:C>>:-Werror>)

if(YOKE_SANITIZE STREQUAL "address")
  set(yoke_sanitize_flags -fsanitize=address,undefined -fno-sanitize-recover=undefined)
elseif(YOKE_SANITIZE STREQUAL "thread")
  set(yoke_sanitize_flags -fsanitize=thread)
elseif(YOKE_SANITIZE)
  message(FATAL_ERROR "YOKE_SANITIZE = ${YOKE_SANITIZE}: neither 'address' nor 'thread'")
endif()
if(yoke_sanitize_flags)
  target_compile_options(yoke_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:${yoke_sanitize_flags}>)
  target_link_options(yoke_flags INTERFACE ${yoke_sanitize_flags})
endif()
