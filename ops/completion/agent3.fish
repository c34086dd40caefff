# Completions of agent3 for fish, made by: agent3 completion fish
function __agent3_complete
    set -l current (commandline -ct)
    set -l words (commandline -opc)
    set -e words[1]
    # An agent that does not answer holds up the line for 3 seconds at most.
    set -l lines (timeout 3 agent3 __complete -- $words "$current" 2> /dev/null < /dev/null)
    switch "$lines[1]"
        case files
            __fish_complete_path "$current"
        case directories
            __fish_complete_directories "$current"
        case words
            set -e lines[1]
            printf '%s\n' $lines
    end
end
complete -c agent3 -f -a '(__agent3_complete)'
